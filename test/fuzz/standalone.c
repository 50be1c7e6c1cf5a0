/*-------------------------------------------------------------------------
 *
 * standalone.c
 *		Runs a target of libFuzzer without it, with any compiler.
 *
 *		PROGRAM MUTATIONS FILE...
 *
 * Each file once as it is, then so many mutations of it, always the same
 * ones.  Prints TAP, one test per file; a target that finds something aborts,
 * and the input is in the file "found".
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES	65536

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most,
									  unsigned seed) __attribute__((weak));
extern size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

static uint64_t state = 88172645463325252u;

static uint32_t
next_random(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t) (state >> 32) % (below > 0 ? below : 1);
}

/* One small change, of the kinds that libFuzzer makes. */
size_t
LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most)
{
	static const uint8_t odd[] = "\0\xff\x80\x7f\"\\/%.,:;?&=#{}[]-+eE019 \n\r\t";
	size_t		at = next_random((uint32_t) size + 1);
	size_t		n = 1 + next_random(8);

	switch (next_random(5))
	{
		case 0:
			if (at < size)
				data[at] ^= (uint8_t) (1u << next_random(8));
			break;
		case 1:
			if (at < size)
				data[at] = odd[next_random(sizeof(odd) - 1)];
			break;
		case 2:					/* a few bytes less */
			if (at + n <= size)
			{
				memmove(data + at, data + at + n, size - at - n);
				size -= n;
			}
			break;
		case 3:					/* one more */
			if (size < most)
			{
				memmove(data + at + 1, data + at, size - at);
				data[at] = odd[next_random(sizeof(odd) - 1)];
				size++;
			}
			break;
		default:				/* a few from elsewhere */
			if (size > n && at + n <= size)
				memmove(data + at, data + next_random((uint32_t) (size - n)),
						n);
	}
	return size;
}

/* Runs the target on a copy of the exact size; the file is for who finds. */
static void
run(const uint8_t *data, size_t size)
{
	uint8_t    *copy = malloc(size > 0 ? size : 1);
	FILE	   *found = fopen("found", "wb");

	if (found != NULL)
	{
		fwrite(data, 1, size, found);
		fclose(found);
	}
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

int
main(int argc, char **argv)
{
	static uint8_t seed[MAX_BYTES];
	static uint8_t mutated[MAX_BYTES];
	int			mutations = argc > 1 ? atoi(argv[1]) : 0;

	for (int i = 2; i < argc; i++)
	{
		FILE	   *file = fopen(argv[i], "rb");
		const char *name = strrchr(argv[i], '/');
		size_t		size;

		if (file == NULL)
		{
			perror(argv[i]);
			return 1;
		}
		size = fread(seed, 1, sizeof(seed), file);
		fclose(file);
		run(seed, size);
		for (int j = 0; j < mutations; j++)
		{
			size_t		now = size;

			memcpy(mutated, seed, size);
			for (uint32_t n = 1 + next_random(4); n > 0; n--)
				now = LLVMFuzzerCustomMutator != NULL
					? LLVMFuzzerCustomMutator(mutated, now, MAX_BYTES,
											  next_random(UINT32_MAX))
					: LLVMFuzzerMutate(mutated, now, MAX_BYTES);
			run(mutated, now);
		}
		printf("ok %d - %s\n", i - 1, name ? name + 1 : argv[i]);
		fflush(stdout);
	}
	remove("found");
	printf("1..%d\n", argc - 2);
	return 0;
}
