/*-------------------------------------------------------------------------
 *
 * rowstream_bench.c
 *		Time to read pages of rows held in memory: median of five rounds.
 *
 * rowstream_bench FILE...: pages of a list, {"results": [...]}.  Reads 0, 1,
 * 2 and 10 members of each row, without and with apigouv_value_check of each,
 * the pages whole and in pieces of 16 KiB.  Prints milliseconds.
 *
 *-------------------------------------------------------------------------
 */
#include "../../src/rowstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS	5
#define PIECE	16384

typedef struct Page
{
	char	   *text;
	size_t		len;
} Page;

static const char *const members[] = {
	"siret", "name", "kind", "city", "post_code", "department", "latitude",
	"is_active", "sectors", "updated_at"
};

static Page
read_page(const char *name)
{
	FILE	   *file = fopen(name, "rb");
	Page		page;
	long		size;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0 ||
		(size = ftell(file)) < 0)
	{
		perror(name);
		exit(1);
	}
	rewind(file);
	page.len = (size_t) size;
	page.text = malloc(page.len + 1);
	if (page.text == NULL || fread(page.text, 1, page.len, file) != page.len)
	{
		perror(name);
		exit(1);
	}
	fclose(file);
	return page;
}

/* Rows of one page; every value is checked when check is true. */
static long
read_rows(const ApigouvProjection *projection, const Page *page, int nmembers,
		  bool check, size_t piece)
{
	ApigouvRowstream *stream = apigouv_rowstream_create(projection);
	ApigouvValue values[10];
	ApigouvRowResult result;
	size_t		len = piece < page->len ? piece : page->len;
	long		rows = 0;
	int			i;

	for (;;)
	{
		result = apigouv_rowstream_next(stream, page->text, len,
										len == page->len, values);
		if (result == APIGOUV_ROW)
		{
			rows++;
			for (i = 0; check && i < nmembers; i++)
				if (apigouv_value_check(&values[i], false) != NULL)
					exit(1);
		}
		else if (result == APIGOUV_ROW_MORE)
			len = piece < page->len - len ? len + piece : page->len;
		else
			break;
	}
	apigouv_rowstream_free(stream);
	return result == APIGOUV_ROW_END ? rows : -1;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* Prints the median of ROUNDS readings of all pages. */
static void
measure(const Page *pages, int npages, int nmembers, bool check, size_t piece)
{
	double		ms[ROUNDS];
	long		rows = 0;
	int			round;
	int			i;
	const char *error;
	ApigouvProjection *projection;

	projection = apigouv_projection_create("results[]", nmembers, members,
										   0, NULL, &error);
	for (round = 0; round < ROUNDS; round++)
	{
		struct timespec from;
		struct timespec to;

		rows = 0;
		clock_gettime(CLOCK_MONOTONIC, &from);
		for (i = 0; i < npages; i++)
		{
			long		n = read_rows(projection, &pages[i], nmembers, check,
									  piece);

			if (n < 0)
				exit(1);
			rows += n;
		}
		clock_gettime(CLOCK_MONOTONIC, &to);
		ms[round] = (double) (to.tv_sec - from.tv_sec) * 1e3 +
			(double) (to.tv_nsec - from.tv_nsec) / 1e6;
	}
	qsort(ms, ROUNDS, sizeof(ms[0]), compare_doubles);
	printf("%2d members%s, %s: %6.1f ms (best %.1f), %ld rows\n", nmembers,
		   check ? ", checked" : "         ",
		   piece == PIECE ? "in pieces" : "whole    ",
		   ms[ROUNDS / 2], ms[0], rows);
	apigouv_projection_free(projection);
}

int
main(int argc, char **argv)
{
	static const int counts[] = {0, 1, 2, 10};
	int			npages = argc - 1;
	Page	   *pages = malloc(((size_t) npages + 1) * sizeof(Page));
	double		bytes = 0;
	int			i;

	for (i = 0; i < npages; i++)
	{
		pages[i] = read_page(argv[i + 1]);
		bytes += (double) pages[i].len;
	}
	printf("%d pages, %.1f MB\n", npages, bytes / 1e6);
	for (i = 0; i < 4; i++)
	{
		measure(pages, npages, counts[i], false, (size_t) -1);
		measure(pages, npages, counts[i], false, PIECE);
		measure(pages, npages, counts[i], true, PIECE);
	}
	for (i = 0; i < npages; i++)
		free(pages[i].text);
	free(pages);
	return 0;
}
