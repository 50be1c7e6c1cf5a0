/*-------------------------------------------------------------------------
 *
 * harness.h
 *		What the tests of the row scanner share: TAP, allocations that are
 *		counted and can fail, a value as text.
 *
 * A test includes it, then the sources between "#define malloc(size)
 * counted_malloc(size)", the same for calloc, and their #undef.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FUZZ_HARNESS_H
#define FUZZ_HARNESS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/rowstream.h"

#define MAX_PATHS	8
#define OUT_BYTES	8192

static long allocations;
static long allocation_that_fails = -1;
static int	tests;
static int	failures;

static void *
counted_malloc(size_t size)
{
	return allocations++ == allocation_that_fails ? NULL : malloc(size);
}

static void *
counted_calloc(size_t n, size_t size)
{
	return allocations++ == allocation_that_fails ? NULL : calloc(n, size);
}

static void
ok(bool right, const char *name)
{
	printf("%sok %d - %s\n", right ? "" : "not ", ++tests, name);
	failures += !right;
}

static void
same(const char *got, const char *wanted, const char *name)
{
	bool		right = got == wanted ||
		(got != NULL && wanted != NULL && strcmp(got, wanted) == 0);

	ok(right, name);
	if (!right)
		printf("#      got: %s\n#   wanted: %s\n", got ? got : "NULL",
			   wanted ? wanted : "NULL");
}

/* Appends a value: "-" when it is absent, a string in quotes. */
static void
put_value(char *out, const ApigouvValue *value)
{
	const char *quote = value->kind == APIGOUV_STRING ? "\"" : "";
	size_t		at = strlen(out);

	if (value->kind == APIGOUV_ABSENT)
		snprintf(out + at, OUT_BYTES - at, "-");
	else
		snprintf(out + at, OUT_BYTES - at, "%s%.*s%s", quote,
				 (int) value->len, value->text, quote);
}

#endif							/* FUZZ_HARNESS_H */
