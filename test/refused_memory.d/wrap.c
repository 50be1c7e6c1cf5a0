/*-------------------------------------------------------------------------
 *
 * wrap.c
 *		The server's allocations that our code makes, each of which may be
 *		refused.
 *
 * Linked into a build of the extension, with ld's --wrap for each name below:
 * a block of a memory context serves many small pieces, so that want of
 * memory in malloc alone would try few of the places where palloc may raise.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#define BY_PALLOC	8

extern int	apigouv_refuse_point(int kind, void *caller) __attribute__((weak));

#define POINT() \
	do { \
		if (apigouv_refuse_point != NULL && \
			apigouv_refuse_point(BY_PALLOC, __builtin_return_address(0))) \
			ereport(ERROR, \
					(errcode(ERRCODE_OUT_OF_MEMORY), \
					 errmsg("out of memory"), \
					 errdetail("Refused to the extension."))); \
	} while (0)

#define WRAP(type, name, parameters, arguments) \
	extern type __real_##name parameters; \
	extern type __wrap_##name parameters; \
	type __wrap_##name parameters \
	{ \
		POINT(); \
		return __real_##name arguments; \
	}

#define WRAP_VOID(name, parameters, arguments) \
	extern void __real_##name parameters; \
	extern void __wrap_##name parameters; \
	void __wrap_##name parameters \
	{ \
		POINT(); \
		__real_##name arguments; \
	}

WRAP(void *, palloc, (Size size), (size))
WRAP(void *, palloc0, (Size size), (size))
WRAP(void *, repalloc, (void *old, Size size), (old, size))
WRAP(char *, pstrdup, (const char *text), (text))
WRAP(char *, pnstrdup, (const char *text, Size len), (text, len))
WRAP(void *, MemoryContextAlloc, (MemoryContext cxt, Size size), (cxt, size))
WRAP(void *, MemoryContextAllocZero, (MemoryContext cxt, Size size),
	 (cxt, size))
WRAP(void *, MemoryContextAllocZeroAligned, (MemoryContext cxt, Size size),
	 (cxt, size))
WRAP(void *, MemoryContextAllocHuge, (MemoryContext cxt, Size size),
	 (cxt, size))
WRAP(char *, MemoryContextStrdup, (MemoryContext cxt, const char *text),
	 (cxt, text))
WRAP(MemoryContext, AllocSetContextCreateInternal,
	 (MemoryContext parent, const char *name, Size least, Size first,
	  Size most),
	 (parent, name, least, first, most))
WRAP(List *, lappend, (List *list, void *datum), (list, datum))
WRAP(List *, lappend_int, (List *list, int datum), (list, datum))
WRAP(List *, lcons, (void *datum, List *list), (datum, list))
WRAP(List *, list_concat, (List *one, const List *other), (one, other))
WRAP_VOID(initStringInfo, (StringInfo buf), (buf))
WRAP_VOID(appendStringInfoString, (StringInfo buf, const char *text),
	 (buf, text))
WRAP_VOID(appendStringInfoChar, (StringInfo buf, char c), (buf, c))
WRAP_VOID(appendBinaryStringInfo, (StringInfo buf, const char *data, int len),
	 (buf, data, len))
WRAP_VOID(enlargeStringInfo, (StringInfo buf, int needed), (buf, needed))
WRAP(HeapTuple, heap_form_tuple, (TupleDesc desc, Datum *values, bool *nulls),
	 (desc, values, nulls))
