/*-------------------------------------------------------------------------
 *
 * server_shim.c
 *		What modules of src/ need of the server, to be fuzzed without one.
 *
 * Memory contexts are lists of malloc'd chunks, so that AddressSanitizer sees
 * each byte past a chunk and each chunk used after its context.  Errors are
 * formatted as the server does and end in shim_try.  Files are those that a
 * target has given.  What has no meaning here, as a regular expression, does
 * something simple that is told beside it.
 *
 * Only what the targets' modules call is here, written after the server's
 * documented behaviour.
 *
 *-------------------------------------------------------------------------
 */
#include "server_shim.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "regex/regex.h"
#include "storage/fd.h"
#if __has_include("varatt.h")	/* from PostgreSQL 16 on, apart */
#include "varatt.h"
#endif
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void) 0)
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void) 0)
#endif

#define MAX_STACK_BYTES	(4 * 1024 * 1024)
#define MAX_FILES		16
#define MAX_REPORTS		5		/* raised while another is being told */

ShimError	shim_error;
int			shim_warnings;
TimestampTz shim_now;
long		shim_refused_allocation = -1;
long		shim_allocations;

MemoryContext TopMemoryContext;
MemoryContext CurrentMemoryContext;
MemoryContext ErrorContext;
ErrorContextCallback *error_context_stack;
sigjmp_buf *PG_exception_stack;
volatile sig_atomic_t InterruptPending;
char		my_exec_path[MAXPGPATH] = "/nowhere/bin/postgres";

static char *stack_base;

void
shim_complain(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	if (shim_error.message[0] != '\0')
		fprintf(stderr, "last error: %s | %s | %s\n", shim_error.message,
				shim_error.detail, shim_error.hint);
	abort();
}

/* ----------------------------------------------------------------
 *		Memory
 * ----------------------------------------------------------------
 */

/* Stands before each chunk, poisoned while the chunk lives. */
typedef struct Chunk
{
	struct Chunk *next;
	struct Chunk *previous;
	struct ShimContext *of;
	size_t		size;
} Chunk;

typedef struct ShimContext
{
	MemoryContextData base;
	Chunk		chunks;			/* head of a ring */
} ShimContext;

static void
adopt(ShimContext *context, MemoryContext parent)
{
	context->base.parent = parent;
	if (parent == NULL)
		return;
	context->base.nextchild = parent->firstchild;
	if (parent->firstchild != NULL)
		parent->firstchild->prevchild = &context->base;
	parent->firstchild = &context->base;
}

static void
leave(ShimContext *context)
{
	MemoryContext me = &context->base;

	if (me->prevchild != NULL)
		me->prevchild->nextchild = me->nextchild;
	else if (me->parent != NULL)
		me->parent->firstchild = me->nextchild;
	if (me->nextchild != NULL)
		me->nextchild->prevchild = me->prevchild;
	me->parent = me->nextchild = me->prevchild = NULL;
}

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name,
							  Size min, Size initial, Size most)
{
	ShimContext *context = calloc(1, sizeof(ShimContext));

	context->base.type = T_AllocSetContext;
	context->base.name = name;
	context->chunks.next = context->chunks.previous = &context->chunks;
	adopt(context, parent);
	return &context->base;
}

void
MemoryContextSetParent(MemoryContext context, MemoryContext parent)
{
	leave((ShimContext *) context);
	adopt((ShimContext *) context, parent);
}

void
MemoryContextSetIdentifier(MemoryContext context, const char *id)
{
	context->ident = id;
}

void
MemoryContextRegisterResetCallback(MemoryContext context,
								   MemoryContextCallback *callback)
{
	callback->next = context->reset_cbs;
	context->reset_cbs = callback;
}

static void
free_chunk(Chunk *chunk)
{
	ASAN_UNPOISON_MEMORY_REGION(chunk, sizeof(Chunk));
	ASAN_UNPOISON_MEMORY_REGION(chunk->previous, sizeof(Chunk));
	ASAN_UNPOISON_MEMORY_REGION(chunk->next, sizeof(Chunk));
	chunk->previous->next = chunk->next;
	chunk->next->previous = chunk->previous;
	if (chunk->previous != &chunk->of->chunks)
		ASAN_POISON_MEMORY_REGION(chunk->previous, sizeof(Chunk));
	if (chunk->next != &chunk->of->chunks)
		ASAN_POISON_MEMORY_REGION(chunk->next, sizeof(Chunk));
	free(chunk);
}

void
MemoryContextReset(MemoryContext context)
{
	ShimContext *shim = (ShimContext *) context;

	while (context->firstchild != NULL)
		MemoryContextDelete(context->firstchild);
	while (context->reset_cbs != NULL)
	{
		MemoryContextCallback *callback = context->reset_cbs;

		context->reset_cbs = callback->next;
		callback->func(callback->arg);
	}
	while (shim->chunks.next != &shim->chunks)
		free_chunk(shim->chunks.next);
}

void
MemoryContextDelete(MemoryContext context)
{
	CHECK(context != CurrentMemoryContext && context != TopMemoryContext);
	MemoryContextReset(context);
	leave((ShimContext *) context);
	free(context);
}

void *
MemoryContextAllocExtended(MemoryContext context, Size size, int flags)
{
	ShimContext *shim = (ShimContext *) context;
	Chunk	   *chunk;

	CHECK(shim != NULL);
	if (shim_allocations++ == shim_refused_allocation)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("out of memory")));
	if (!AllocSizeIsValid(size) && (flags & MCXT_ALLOC_HUGE) == 0)
		elog(ERROR, "invalid memory alloc request size %zu", size);
	chunk = malloc(sizeof(Chunk) + size);
	CHECK(chunk != NULL);
	memset(chunk + 1, flags & MCXT_ALLOC_ZERO ? 0 : 0x7f, size);
	chunk->of = shim;
	chunk->size = size;
	chunk->previous = &shim->chunks;
	chunk->next = shim->chunks.next;
	ASAN_UNPOISON_MEMORY_REGION(chunk->next, sizeof(Chunk));
	chunk->next->previous = chunk;
	if (chunk->next != &shim->chunks)
		ASAN_POISON_MEMORY_REGION(chunk->next, sizeof(Chunk));
	shim->chunks.next = chunk;
	ASAN_POISON_MEMORY_REGION(chunk, sizeof(Chunk));
	return chunk + 1;
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return MemoryContextAllocExtended(context, size, 0);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_ZERO);
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_HUGE);
}

void *
MemoryContextAllocZeroAligned(MemoryContext context, Size size)
{
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_ZERO);
}

void *
palloc(Size size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, size, 0);
}

void *
palloc0(Size size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, size,
									  MCXT_ALLOC_ZERO);
}

void *
palloc_extended(Size size, int flags)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, size, flags);
}

void
pfree(void *pointer)
{
	free_chunk((Chunk *) pointer - 1);
}

void *
repalloc(void *pointer, Size size)
{
	Chunk	   *chunk = (Chunk *) pointer - 1;
	size_t		before;
	void	   *moved;

	ASAN_UNPOISON_MEMORY_REGION(chunk, sizeof(Chunk));
	before = chunk->size;
	moved = MemoryContextAllocExtended(&chunk->of->base, size, 0);
	memcpy(moved, pointer, Min(before, size));
	free_chunk(chunk);
	return moved;
}

char *
MemoryContextStrdup(MemoryContext context, const char *text)
{
	return strcpy(MemoryContextAlloc(context, strlen(text) + 1), text);
}

char *
pstrdup(const char *text)
{
	return MemoryContextStrdup(CurrentMemoryContext, text);
}

char *
pnstrdup(const char *text, Size len)
{
	char	   *copy;

	len = strnlen(text, len);
	copy = palloc(len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

static long
chunks_below(MemoryContext context)
{
	ShimContext *shim = (ShimContext *) context;
	long		n = 0;
	Chunk	   *chunk = shim->chunks.next;

	while (chunk != &shim->chunks)
	{
		Chunk	   *next;

		ASAN_UNPOISON_MEMORY_REGION(chunk, sizeof(Chunk));
		next = chunk->next;
		ASAN_POISON_MEMORY_REGION(chunk, sizeof(Chunk));
		chunk = next;
		n++;
	}
	for (context = context->firstchild; context; context = context->nextchild)
		n += 1 + chunks_below(context);
	return n;
}

long
shim_kept_chunks(void)
{
	return chunks_below(TopMemoryContext);
}

/* ----------------------------------------------------------------
 *		Errors
 * ----------------------------------------------------------------
 */

/* Reports under way: a text of one may raise another. */
static struct
{
	int			level;
	ShimError	error;
}			reports[MAX_REPORTS];
static int	nreports;

bool
errstart(int level, const char *domain)
{
	CHECK(nreports < MAX_REPORTS);
	memset(&reports[nreports], 0, sizeof(reports[0]));
	reports[nreports].level = level;
	reports[nreports].error.code = level >= ERROR ? ERRCODE_INTERNAL_ERROR
		: ERRCODE_WARNING;
	nreports++;
	return true;
}

bool
errstart_cold(int level, const char *domain)
{
	return errstart(level, domain);
}

void
errfinish(const char *file, int line, const char *function)
{
	ErrorContextCallback *context = error_context_stack;

	CHECK(nreports > 0);
	error_context_stack = NULL;
	for (; context != NULL; context = context->previous)
		context->callback(context->arg);
	if (reports[nreports - 1].level < ERROR)
	{
		shim_warnings++;
		nreports--;
		return;
	}
	pg_re_throw();
}

void
pg_re_throw(void)
{
	CHECK(nreports > 0);
	CHECK(PG_exception_stack != NULL);
	siglongjmp(*PG_exception_stack, 1);
}

int
geterrcode(void)
{
	CHECK(nreports > 0);
	return reports[nreports - 1].error.code;
}

void
FlushErrorState(void)
{
	nreports = 0;
}

int
errcode(int code)
{
	CHECK(nreports > 0);
	reports[nreports - 1].error.code = code;
	return 0;
}

int
errcode_for_file_access(void)
{
	return errcode(ERRCODE_IO_ERROR);
}

/* A text of a report; one that is longer than its place is cut. */
#define FORMAT_INTO(member) \
	do { \
		va_list args; \
		int		at = nreports - 1; \
		CHECK(at >= 0); \
		va_start(args, fmt); \
		vsnprintf(reports[at].error.member, \
				  sizeof(reports[at].error.member), fmt, args); \
		va_end(args); \
	} while (0)

/* The catalog of messages: there is none here (apigouv_fdw.c has it). */
extern const char *apigouv_textdomain(void);

const char *
apigouv_textdomain(void)
{
	return "apigouv_fdw";
}

int
errmsg(const char *fmt,...)
{
	FORMAT_INTO(message);
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	FORMAT_INTO(message);
	return 0;
}

int
errdetail(const char *fmt,...)
{
	FORMAT_INTO(detail);
	return 0;
}

int
errdetail_internal(const char *fmt,...)
{
	FORMAT_INTO(detail);
	return 0;
}

int
errhint(const char *fmt,...)
{
	FORMAT_INTO(hint);
	return 0;
}

int
set_errcontext_domain(const char *domain)
{
	return 0;
}

int
errcontext_msg(const char *fmt,...)
{
	char		line[1024];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	return 0;
}

void
shim_start(void)
{
	if (TopMemoryContext != NULL)
		return;
	TopMemoryContext = AllocSetContextCreateInternal(NULL, "top", 0, 0, 0);
	ErrorContext = AllocSetContextCreateInternal(TopMemoryContext, "errors",
												 0, 0, 0);
	CurrentMemoryContext = TopMemoryContext;
}

bool
shim_try(void (*body) (void *arg), void *arg)
{
	MemoryContext query = AllocSetContextCreateInternal(TopMemoryContext,
														"query", 0, 0, 0);
	sigjmp_buf	here;
	bool		raised;

	memset(&shim_error, 0, sizeof(shim_error));
	nreports = 0;
	error_context_stack = NULL;
	stack_base = (char *) &query;
	CurrentMemoryContext = query;
	PG_exception_stack = &here;
	raised = sigsetjmp(here, 0) != 0;
	if (!raised)
		body(arg);
	else
	{
		CHECK(nreports > 0);
		shim_error = reports[nreports - 1].error;
		nreports = 0;
	}
	PG_exception_stack = NULL;
	error_context_stack = NULL;
	CurrentMemoryContext = TopMemoryContext;
	MemoryContextDelete(query);
	CHECK(shim_open_files() == 0);
	return !raised;
}

void
check_stack_depth(void)
{
	char		here;

	if (stack_base - &here > MAX_STACK_BYTES)
		ereport(ERROR, (errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
						errmsg("stack depth limit exceeded")));
}

void
ProcessInterrupts(void)
{
}

/* ----------------------------------------------------------------
 *		Texts
 * ----------------------------------------------------------------
 */

void
initStringInfo(StringInfo str)
{
	str->maxlen = 16;			/* small: it often has to grow */
	str->data = palloc(str->maxlen);
	resetStringInfo(str);
}

void
resetStringInfo(StringInfo str)
{
	str->data[0] = '\0';
	str->len = 0;
	str->cursor = 0;
}

void
enlargeStringInfo(StringInfo str, int needed)
{
	if (needed < 0 || (Size) needed >= MaxAllocSize - (Size) str->len)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("out of memory")));
	needed += str->len + 1;
	if (needed <= str->maxlen)
		return;
	str->maxlen = Max(needed, 2 * str->maxlen);
	str->data = repalloc(str->data, str->maxlen);
}

#if PG_VERSION_NUM >= 160000
void
appendBinaryStringInfo(StringInfo str, const void *data, int len)
#else
void
appendBinaryStringInfo(StringInfo str, const char *data, int len)
#endif
{
	enlargeStringInfo(str, len);
	memcpy(str->data + str->len, data, len);
	str->len += len;
	str->data[str->len] = '\0';
}

void
appendStringInfoString(StringInfo str, const char *s)
{
	appendBinaryStringInfo(str, s, strlen(s));
}

void
appendStringInfoChar(StringInfo str, char ch)
{
	appendBinaryStringInfo(str, &ch, 1);
}

int
appendStringInfoVA(StringInfo str, const char *fmt, va_list args)
{
	int			room = str->maxlen - str->len;
	int			printed = vsnprintf(str->data + str->len, room, fmt, args);

	CHECK(printed >= 0);
	if (printed < room)
	{
		str->len += printed;
		return 0;
	}
	str->data[str->len] = '\0';
	return printed + 1;
}

void
appendStringInfo(StringInfo str, const char *fmt,...)
{
	va_list		args;
	int			needed;

	for (;;)
	{
		va_start(args, fmt);
		needed = appendStringInfoVA(str, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(str, needed);
	}
}

char *
psprintf(const char *fmt,...)
{
	va_list		args;
	int			len;
	char	   *text;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	CHECK(len >= 0);
	text = palloc(len + 1);
	va_start(args, fmt);
	vsnprintf(text, len + 1, fmt, args);
	va_end(args);
	return text;
}

text *
cstring_to_text_with_len(const char *s, int len)
{
	text	   *result = palloc(len + VARHDRSZ);

	SET_VARSIZE(result, len + VARHDRSZ);
	memcpy(VARDATA(result), s, len);
	return result;
}

text *
cstring_to_text(const char *s)
{
	return cstring_to_text_with_len(s, strlen(s));
}

/* As the server writes a text in JSON. */
void
escape_json(StringInfo buf, const char *str)
{
	appendStringInfoChar(buf, '"');
	for (const char *p = str; *p != '\0'; p++)
	{
		const char *found = strchr("\bb\ff\nn\rr\tt\"\"\\\\", *p);

		if (found != NULL && strchr("\b\f\n\r\t\"\\", *p) != NULL)
			appendStringInfo(buf, "\\%c", found[1]);
		else if ((unsigned char) *p < ' ')
			appendStringInfo(buf, "\\u%04x", (int) *p);
		else
			appendStringInfoChar(buf, *p);
	}
	appendStringInfoChar(buf, '"');
}

int
GetDatabaseEncoding(void)
{
	return PG_UTF8;
}

const char *
GetDatabaseEncodingName(void)
{
	return "UTF8";
}

/* Length of the whole characters among the first limit bytes. */
int
pg_encoding_mbcliplen(int encoding, const char *mbstr, int len, int limit)
{
	int			clipped = 0;

	CHECK(encoding == PG_UTF8);
	while (len > 0 && *mbstr != '\0')
	{
		int			one = pg_utf_mblen((const unsigned char *) mbstr);

		if (clipped + one > limit)
			break;
		clipped += one;
		if (clipped == limit)
			break;
		len -= one;
		mbstr += one;
	}
	return clipped;
}

int
pg_mbstrlen_with_len(const char *mbstr, int limit)
{
	int			n = 0;

	for (int i = 0; i < limit; n++)
		i += pg_utf_mblen((const unsigned char *) mbstr + i);
	return n;
}

int
pg_mb2wchar_with_len(const char *from, pg_wchar *to, int len)
{
	const unsigned char *bytes = (const unsigned char *) from;

	return pg_wchar_table[PG_UTF8].mb2wchar_with_len(bytes, to, len);
}

/* A pattern is right when its parentheses pair. */
int
pg_regcomp(regex_t *re, const pg_wchar *pattern, size_t len, int flags,
		   Oid collation)
{
	int			depth = 0;

	for (size_t i = 0; i < len && depth >= 0; i++)
		depth += (pattern[i] == '(') - (pattern[i] == ')');
	return depth == 0 ? REG_OKAY : REG_EPAREN;
}

size_t
pg_regerror(int code, const regex_t *re, char *message, size_t size)
{
	return strlcpy(message, "parentheses () not balanced", size);
}

void
pg_regfree(regex_t *re)
{
}

/* A text matches a pattern of which it has the first letter. */
bool
RE_compile_and_execute(text *pattern, char *dat, int dat_len, int cflags,
					   Oid collation, int nmatch, regmatch_t *pmatch)
{
	return VARSIZE_ANY_EXHDR(pattern) > 0 &&
		memchr(dat, *VARDATA_ANY(pattern), dat_len) != NULL;
}

/* ----------------------------------------------------------------
 *		Lists
 * ----------------------------------------------------------------
 */

static List *
new_list(NodeTag type, int length, int room)
{
	List	   *list = palloc(sizeof(List));

	list->type = type;
	list->length = length;
	list->max_length = room;
	list->elements = palloc(room * sizeof(ListCell));
	return list;
}

List *
list_make1_impl(NodeTag type, ListCell datum)
{
	List	   *list = new_list(type, 1, 1);

	list->elements[0] = datum;
	return list;
}

List *
lappend(List *list, void *datum)
{
	if (list == NIL)
		list = new_list(T_List, 0, 1);
	if (list->length == list->max_length)
	{
		/* in the list's own context, as the server does */
		list->max_length++;
		list->elements = repalloc(list->elements,
								  list->max_length * sizeof(ListCell));
	}
	list->elements[list->length++].ptr_value = datum;
	return list;
}

List *
list_copy(const List *list)
{
	List	   *copy;

	if (list == NIL)
		return NIL;
	copy = new_list(list->type, list->length, list->length);
	memcpy(copy->elements, list->elements, list->length * sizeof(ListCell));
	return copy;
}

void
list_free(List *list)
{
	if (list == NIL)
		return;
	pfree(list->elements);
	pfree(list);
}

void
list_free_deep(List *list)
{
	for (int i = 0; list != NIL && i < list->length; i++)
		pfree(list->elements[i].ptr_value);
	list_free(list);
}

void
list_sort(List *list, list_sort_comparator compare)
{
	if (list_length(list) > 1)
		qsort(list->elements, list->length, sizeof(ListCell),
			  (int (*) (const void *, const void *)) compare);
}

/* ----------------------------------------------------------------
 *		Files and times
 * ----------------------------------------------------------------
 */

static struct
{
	const char *name;
	const void *bytes;
	size_t		len;
}			files[MAX_FILES];
static int	nfiles;
static int	open_files;

void
shim_file(const char *name, const void *bytes, size_t len)
{
	CHECK(nfiles < MAX_FILES);
	files[nfiles].name = name;
	files[nfiles].bytes = bytes;
	files[nfiles++].len = len;
}

void
shim_no_files(void)
{
	nfiles = 0;
}

int
shim_open_files(void)
{
	return open_files;
}

/* A plain file of those bytes: its readers ask for its size. */
FILE *
AllocateFile(const char *path, const char *mode)
{
	for (int i = 0; i < nfiles; i++)
	{
		size_t		name = strlen(files[i].name);
		size_t		len = strlen(path);
		int			fd;

		if (len <= name || path[len - name - 1] != '/' ||
			strcmp(path + len - name, files[i].name) != 0)
			continue;
		fd = memfd_create("definition", MFD_CLOEXEC);
		CHECK(fd >= 0);
		CHECK(write(fd, files[i].bytes, files[i].len) ==
			  (ssize_t) files[i].len);
		CHECK(lseek(fd, 0, SEEK_SET) == 0);
		open_files++;
		return fdopen(fd, "r");
	}
	errno = ENOENT;
	return NULL;
}

int
FreeFile(FILE *file)
{
	open_files--;
	return fclose(file);
}

DIR *
AllocateDir(const char *name)
{
	errno = ENOENT;
	return NULL;
}

void
get_share_path(const char *exec_path, char *ret)
{
	strlcpy(ret, "/nowhere/share", MAXPGPATH);
}

TimestampTz
GetCurrentTimestamp(void)
{
	return shim_now;
}

/* As the server does it, but for a time that is out of range. */
TimestampTz
time_t_to_timestamptz(pg_time_t tm)
{
	int64		result;

	CHECK(!__builtin_sub_overflow((int64) tm,
								  (int64) (POSTGRES_EPOCH_JDATE -
										   UNIX_EPOCH_JDATE) * SECS_PER_DAY,
								  &result));
	CHECK(!__builtin_mul_overflow(result, USECS_PER_SEC, &result));
	return result;
}

const char *
timestamptz_to_str(TimestampTz t)
{
	static char text[64];

	snprintf(text, sizeof(text), INT64_FORMAT, t);
	return text;
}

char *
GetUserNameFromId(Oid roleid, bool noerr)
{
	return pstrdup("alice");
}

/* Always quoted: what a hint says of it is not judged. */
const char *
quote_identifier(const char *ident)
{
	return psprintf("\"%s\"", ident);
}
