/*-------------------------------------------------------------------------
 *
 * steps.c
 *		From a text to texts: derived keys, value maps, periods, checksums.
 *
 * A definition lists steps; some run on the value of a condition before it is
 * sent, some on a value of a reply.  They work on texts in UTF-8 and depend on
 * no setting of the session.
 *
 * Also here: the lists of apis/shared/territoires.json, which serve both the
 * step "map" and the functions that show them as tables.  They are read once,
 * when first wanted, and kept for the backend's life.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "lib/stringinfo.h"
#include "regex/regex.h"
#include "utils/builtins.h"

#include "apidef_read.h"
#include "messages.h"

#define SHARED_FILE "shared/territoires.json"

/* SIREN of La Poste, whose establishments have no Luhn sum of their own */
#define LA_POSTE "356000000"

#define SIRET_LENGTH 14
#define SIREN_LENGTH 9

/* a list of objects that all have the same members */
typedef struct SharedList
{
	char	   *name;
	int			nmembers;
	char	  **members;		/* names */
	int			nrows;
	char	 ***rows;			/* texts by member; NULL = null */
} SharedList;

typedef struct SharedLists
{
	MemoryContext cxt;			/* of the lists and of the maps over them */
	int			nlists;
	SharedList *lists;
	List	   *maps;			/* of ApigouvMap */
} SharedLists;

struct ApigouvMap
{
	const SharedList *list;
	int			from;			/* positions of members */
	int			to;
	int			nrows;			/* rows whose two members are not null */
	char	 ***rows;			/* by member from, then as in the file */
};

/* NULL until wanted */
static SharedLists *shared = NULL;

/* ---- shared lists ---- */

static void
read_shared_list(const ApigouvField *at, SharedList *list)
{
	ApigouvField first;
	ApigouvField member;
	void	   *iterator = NULL;
	int			i;
	int			j;

	memset(list, 0, sizeof(*list));
	list->name = pstrdup(at->name);
	list->nrows = apigouv_field_length(at);
	if (list->nrows == 0)
		apigouv_field_error(at, NULL, "must not be empty");

	first = apigouv_field_at(at, 0);
	list->members = palloc0((apigouv_json_size(first.json) + 1) *
							sizeof(char *));
	while (apigouv_field_next(&first, &iterator, &member))
		list->members[list->nmembers++] = pstrdup(member.name);

	list->rows = palloc(list->nrows * sizeof(char **));
	for (i = 0; i < list->nrows; i++)
	{
		ApigouvField row = apigouv_field_at(at, i);

		apigouv_field_members(&row, (const char *const *) list->members);
		list->rows[i] = palloc(list->nmembers * sizeof(char *));
		for (j = 0; j < list->nmembers; j++)
		{
			ApigouvField value = apigouv_field_need(&row, list->members[j]);

			list->rows[i][j] =
				apigouv_json_kind(value.json) == APIGOUV_JSON_NULL ? NULL :
				apigouv_field_value(&value, APIGOUV_TEXT_DATA);
		}
	}
}

/* An ApigouvBuilder. */
static void *
build_shared(const ApigouvField *file, void *arg)
{
	SharedLists *result = palloc0(sizeof(SharedLists));
	ApigouvField member;
	void	   *iterator = NULL;

	result->cxt = CurrentMemoryContext;
	result->lists = palloc(apigouv_json_size(file->json) *
						   sizeof(SharedList));
	while (apigouv_field_next(file, &iterator, &member))
		read_shared_list(&member, &result->lists[result->nlists++]);
	return result;
}

/* A shared list, or NULL; reads the file on first use. */
static const SharedList *
find_list(const char *name)
{
	int			i;

	if (shared == NULL)
	{
		char	   *directory = apigouv_apidef_directory();

		shared = apigouv_apidef_load(directory, SHARED_FILE, true,
									 build_shared, NULL);
		if (shared == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("file \"%s\" does not exist beside the API definitions",
							SHARED_FILE)));
		pfree(directory);
	}
	for (i = 0; i < shared->nlists; i++)
	{
		if (strcmp(shared->lists[i].name, name) == 0)
			return &shared->lists[i];
	}
	return NULL;
}

static int
find_member(const SharedList *list, const char *name)
{
	int			i;

	for (i = 0; i < list->nmembers; i++)
	{
		if (strcmp(list->members[i], name) == 0)
			return i;
	}
	return -1;
}

/*
 * apigouv_shared_rows
 *		See apidef.h.  The texts live as long as the backend.
 */
List *
apigouv_shared_rows(const char *list, int nnames, const char *const *names)
{
	const SharedList *found = find_list(list);
	List	   *result = NIL;
	int			i;
	int			j;

	if (found == NULL)
		elog(ERROR, "there is no shared list \"%s\"", list);
	for (i = 0; i < found->nrows; i++)
	{
		char	  **row = palloc(nnames * sizeof(char *));

		for (j = 0; j < nnames; j++)
		{
			int			member = find_member(found, names[j]);

			if (member < 0)
				elog(ERROR, "shared list \"%s\" has no member \"%s\"",
					 list, names[j]);
			row[j] = found->rows[i][member];
		}
		result = lappend(result, row);
	}
	return result;
}

/*
 * apigouv_steps_reset
 *		Forget the shared lists.
 *
 * Their memory stays: definitions that a running query uses point to them.
 */
void
apigouv_steps_reset(void)
{
	shared = NULL;
}

/* ---- maps ---- */

/*
 * insert_row
 *		Keep the rows of a map sorted by member from; equal ones in order.
 */
static void
insert_row(ApigouvMap *map, char **row)
{
	int			at = map->nrows++;

	while (at > 0 && strcmp(map->rows[at - 1][map->from], row[map->from]) > 0)
	{
		map->rows[at] = map->rows[at - 1];
		at--;
	}
	map->rows[at] = row;
}

/*
 * apigouv_steps_map
 *		The map of a step, made on first use and kept.
 *
 * Returns NULL, and the name that does not exist in *missing, when there is no
 * such list or member.
 */
const ApigouvMap *
apigouv_steps_map(const char *list, const char *from, const char *to,
				  const char **missing)
{
	const SharedList *found = find_list(list);
	MemoryContext old_cxt;
	ApigouvMap *map;
	ApigouvMap	wanted;
	ListCell   *cell;
	int			i;

	*missing = list;
	if (found == NULL)
		return NULL;
	wanted.list = found;
	*missing = from;
	if ((wanted.from = find_member(found, from)) < 0)
		return NULL;
	*missing = to;
	if ((wanted.to = find_member(found, to)) < 0)
		return NULL;

	foreach(cell, shared->maps)
	{
		map = lfirst(cell);
		if (map->list == found && map->from == wanted.from &&
			map->to == wanted.to)
			return map;
	}

	old_cxt = MemoryContextSwitchTo(shared->cxt);
	map = palloc(sizeof(ApigouvMap));
	*map = wanted;
	map->nrows = 0;
	map->rows = palloc(found->nrows * sizeof(char **));
	for (i = 0; i < found->nrows; i++)
	{
		char	  **row = found->rows[i];

		if (row[map->from] != NULL && row[map->to] != NULL)
			insert_row(map, row);
	}
	shared->maps = lappend(shared->maps, map);
	MemoryContextSwitchTo(old_cxt);
	return map;
}

/* Append what a text maps to, each result once. */
static List *
apply_map(const ApigouvMap *map, const char *text, List *result)
{
	const char *previous = NULL;
	int			low = 0;
	int			high = map->nrows;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (strcmp(map->rows[middle][map->from], text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < map->nrows &&
		 strcmp(map->rows[low][map->from], text) == 0; low++)
	{
		const char *to = map->rows[low][map->to];

		if (previous == NULL || strcmp(previous, to) != 0)
			result = lappend(result, pstrdup(to));
		previous = to;
	}
	return result;
}

/* ---- texts ---- */

static bool
all_digits(const char *text, size_t len)
{
	size_t		i;

	for (i = 0; i < len; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
	}
	return true;
}

/* Is the Luhn sum of len digits right? */
static bool
luhn_is_right(const char *digits, size_t len)
{
	int			sum = 0;
	size_t		i;

	for (i = 0; i < len; i++)
	{
		int			digit = digits[len - 1 - i] - '0';

		if (i % 2 == 1)
			digit = digit > 4 ? 2 * digit - 9 : 2 * digit;
		sum += digit;
	}
	return sum % 10 == 0;
}

bool
apigouv_check_siret(const char *text)
{
	return strlen(text) == SIRET_LENGTH &&
		all_digits(text, SIRET_LENGTH) &&
		(luhn_is_right(text, SIRET_LENGTH) ||
		 strncmp(text, LA_POSTE, SIREN_LENGTH) == 0);
}

bool
apigouv_check_siren(const char *text)
{
	return strlen(text) == SIREN_LENGTH &&
		all_digits(text, SIREN_LENGTH) &&
		luhn_is_right(text, SIREN_LENGTH);
}

static char *
first_characters(const char *text, int length)
{
	size_t		len = strlen(text);
	size_t		end = 0;

	while (end < len && length-- > 0)
		end += pg_utf_mblen((const unsigned char *) text + end);
	return pnstrdup(text, Min(end, len));
}

/*
 * departement
 *		Department code of a commune or postal code, or of its beginning if
 *		that is long enough to tell; NULL if there is none.
 *
 * Corsica's commune codes start with 2A or 2B, its postal codes with 20, which
 * does not tell the department.
 */
static char *
departement(const char *text)
{
	size_t		len = strlen(text);
	bool		corsican = text[0] == '2' &&
	(text[1] == 'A' || text[1] == 'B');
	bool		overseas = strncmp(text, "97", 2) == 0 ||
	strncmp(text, "98", 2) == 0;
	size_t		wanted = overseas ? 3 : 2;

	if (len < wanted || len > 5 || !all_digits(text + 2, len - 2) ||
		!(corsican || all_digits(text, 2)) || strncmp(text, "20", 2) == 0)
		return NULL;
	return pnstrdup(text, wanted);
}

static char *
trimmed(const char *text)
{
	static const char blanks[] = " \t\n\r\f\v";
	size_t		len;

	text += strspn(text, blanks);
	len = strlen(text);
	while (len > 0 && strchr(blanks, text[len - 1]) != NULL)
		len--;
	return pnstrdup(text, len);
}

/*
 * matches
 *		Does a text match a pattern?  The server keeps compiled patterns.
 *
 * The pattern is in the server's encoding, in which the text is matched.
 */
static bool
matches(const char *text, const char *pattern)
{
	struct varlena *expression = cstring_to_text(pattern);
	char	   *local = apigouv_field_server_text(text);
	bool		result;

	result = RE_compile_and_execute(expression, local, strlen(local),
									REG_ADVANCED, C_COLLATION_OID, 0, NULL);
	pfree(expression);
	pfree(local);
	return result;
}

/* A text with zeros before it, so that it has so many bytes at least. */
static char *
padded(const char *text, int length)
{
	int			missing = length - (int) strlen(text);
	StringInfoData buf;

	initStringInfo(&buf);
	while (missing-- > 0)
		appendStringInfoChar(&buf, '0');
	appendStringInfoString(&buf, text);
	return buf.data;
}

/*
 * part_of_date
 *		Year, month or day of a date in ISO form, without leading zeros; NULL
 *		for another text.
 */
static char *
part_of_date(const char *text, ApigouvStepKind part)
{
	if (strlen(text) != 10 || text[4] != '-' || text[7] != '-' ||
		!all_digits(text, 4) || !all_digits(text + 5, 2) ||
		!all_digits(text + 8, 2))
		return NULL;
	switch (part)
	{
		case APIGOUV_STEP_YEAR:
			return psprintf("%d", atoi(text));
		case APIGOUV_STEP_MONTH:
			return psprintf("%d", atoi(text + 5));
		default:
			return psprintf("%d", atoi(text + 8));
	}
}

/* ---- periods ---- */

/* First and last month of a period text; false when it is none. */
static bool
read_period(const char *text, int *year, int *first, int *last)
{
	size_t		len = strlen(text);

	if (len < 4 || !all_digits(text, 4))
		return false;
	*year = (text[0] - '0') * 1000 + (text[1] - '0') * 100 +
		(text[2] - '0') * 10 + (text[3] - '0');
	if (*year == 0)
		return false;
	*first = 1;
	*last = 12;
	text += 4;
	if (*text == '\0')
		return true;
	if (text[0] == 'T')
	{
		if (len != 6 || text[1] < '1' || text[1] > '4')
			return false;
		*last = 3 * (text[1] - '0');
		*first = *last - 2;
		return true;
	}
	if (text[0] == 'M')
		text++;
	if (strlen(text) != 2 || !all_digits(text, 2))
		return false;
	*first = *last = (text[0] - '0') * 10 + (text[1] - '0');
	return *first >= 1 && *first <= 12;
}

static int
days_of_month(int year, int month)
{
	static const int days[] = {
		31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
	};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* First or last day of a period, as ISO text; NULL when it is none. */
static char *
day_of_period(const char *text, bool last_day)
{
	int			year;
	int			first;
	int			last;

	if (!read_period(text, &year, &first, &last))
		return NULL;
	if (last_day)
		return psprintf("%04d-%02d-%02d", year, last,
						days_of_month(year, last));
	return psprintf("%04d-%02d-01", year, first);
}

/* ---- steps ---- */

/* The result of a step that gives one text or NULL. */
static char *
apply_simple(const ApigouvStep *step, const char *text)
{
	switch (step->kind)
	{
		case APIGOUV_STEP_LEFT:
			return first_characters(text, step->length);
		case APIGOUV_STEP_DEPARTEMENT:
			return departement(text);
		case APIGOUV_STEP_TRIM:
			return trimmed(text);
		case APIGOUV_STEP_PERIODE_DEBUT:
			return day_of_period(text, false);
		case APIGOUV_STEP_PERIODE_FIN:
			return day_of_period(text, true);
		case APIGOUV_STEP_LUHN:
			if (text[0] != '\0' && all_digits(text, strlen(text)) &&
				luhn_is_right(text, strlen(text)))
				return pstrdup(text);
			return NULL;
		case APIGOUV_STEP_SIRET:
			return apigouv_check_siret(text) ? pstrdup(text) : NULL;
		case APIGOUV_STEP_PAD:
			return padded(text, step->length);
		case APIGOUV_STEP_YEAR:
		case APIGOUV_STEP_MONTH:
		case APIGOUV_STEP_DAY:
			return part_of_date(text, step->kind);
		case APIGOUV_STEP_MATCHES:
			return matches(text, step->pattern) ? pstrdup(text) : NULL;
		case APIGOUV_STEP_MAP:
			break;
	}
	return NULL;
}

List *
apigouv_apply_steps(int nsteps, const ApigouvStep *steps, const char *text)
{
	List	   *texts = list_make1(pstrdup(text));
	int			i;

	for (i = 0; i < nsteps && texts != NIL; i++)
	{
		List	   *results = NIL;
		ListCell   *cell;

		foreach(cell, texts)
		{
			char	   *input = lfirst(cell);

			if (steps[i].kind == APIGOUV_STEP_MAP)
				results = apply_map(steps[i].map, input, results);
			else
			{
				char	   *result = apply_simple(&steps[i], input);

				if (result != NULL)
					results = lappend(results, result);
			}
		}
		list_free_deep(texts);
		texts = results;
	}
	return texts;
}
