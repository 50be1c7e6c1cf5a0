/*-------------------------------------------------------------------------
 *
 * refuse.c
 *		A memory allocator that refuses one call in particular.
 *
 * Preloaded into a server.  Calls are counted, in the process and of the
 * callers that a shared file names, and the one whose turn it is gets no
 * memory.  Callers are told apart by the library that their return address
 * lies in.
 *
 * Nothing here may allocate.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Who asks. */
#define BY_LIBRARIES	1		/* libcurl, jansson, OpenSSL, ... */
#define BY_SERVER		2		/* blocks of memory contexts, and what else */
#define BY_EXTENSION	4		/* malloc in our own code */
#define BY_PALLOC		8		/* palloc and its like in our own code (wrap.c) */

#define MAX_RANGES		512

/* The shared file, written by the test. */
typedef struct Order
{
	int32_t		pid;			/* of the process it is about; 0: none */
	int32_t		kinds;			/* bits of who is counted */
	int64_t		at;				/* the call that is refused; 0: none */
	int32_t		for_ever;		/* and all that follow */
	int32_t		unused;
	int64_t		counted;		/* calls so far */
	int64_t		refused;		/* of them, refused */
	int64_t		place;			/* the first one refused: return address ... */
	char		library[80];	/* ... counted from the start of this file */
} Order;

typedef struct Range
{
	uintptr_t	from;
	uintptr_t	to;
	uintptr_t	base;
	int			kind;
	const char *name;
} Range;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern int	apigouv_refuse_point(int kind, void *caller);

static Order *order = NULL;
static bool looked = false;
static Range ranges[MAX_RANGES];
static int	nranges = 0;

static Order *
find_order(void)
{
	const char *name;
	int			fd;
	void	   *map;

	if (looked)
		return order;
	looked = true;
	name = getenv("APIGOUV_REFUSE");
	fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return NULL;
	map = mmap(NULL, sizeof(Order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		order = map;
	return order;
}

static int
kind_of(const char *name)
{
	static const char *const libraries[] = {
		"libcurl", "libjansson", "libssl", "libcrypto", "libnghttp2", "libz.",
	};
	const char *base = strrchr(name, '/');

	base = base ? base + 1 : name;
	if (*base == '\0')
		return BY_SERVER;
	if (strncmp(base, "apigouv_fdw", 11) == 0)
		return BY_EXTENSION;
	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
	{
		if (strncmp(base, libraries[i], strlen(libraries[i])) == 0)
			return BY_LIBRARIES;
	}
	return 0;
}

static int
note_object(struct dl_phdr_info *object, size_t size, void *arg)
{
	for (int i = 0; i < object->dlpi_phnum; i++)
	{
		const ElfW(Phdr) *part = &object->dlpi_phdr[i];

		if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) ||
			nranges == MAX_RANGES)
			continue;
		ranges[nranges].base = object->dlpi_addr;
		ranges[nranges].from = object->dlpi_addr + part->p_vaddr;
		ranges[nranges].to = ranges[nranges].from + part->p_memsz;
		ranges[nranges].kind = kind_of(object->dlpi_name);
		ranges[nranges].name = object->dlpi_name;
		nranges++;
	}
	return 0;
}

/* The range of an address; libraries may come while the process runs. */
static const Range *
range_of(void *address)
{
	for (int round = 0; round < 2; round++)
	{
		for (int i = 0; i < nranges; i++)
		{
			if ((uintptr_t) address >= ranges[i].from &&
				(uintptr_t) address < ranges[i].to)
				return &ranges[i];
		}
		nranges = 0;
		dl_iterate_phdr(note_object, NULL);
	}
	return NULL;
}

/* Is it this call's turn?  kind 0: to be found out. */
int
apigouv_refuse_point(int kind, void *caller)
{
	Order	   *now = find_order();
	const Range *range;
	int64_t		number;

	if (now == NULL || now->kinds == 0 || now->pid != getpid() ||
		(kind != 0 && !(now->kinds & kind)))
		return 0;
	range = range_of(caller);
	if (kind == 0)
		kind = range ? range->kind : 0;
	if (!(now->kinds & kind))
		return 0;
	number = __atomic_add_fetch(&now->counted, 1, __ATOMIC_RELAXED);
	if (now->at == 0 || (now->for_ever ? number < now->at : number != now->at))
		return 0;
	if (now->refused++ == 0 && range != NULL)
	{
		now->place = (int64_t) ((uintptr_t) caller - range->base);
		strncpy(now->library, range->name, sizeof(now->library) - 1);
	}
	return 1;
}

#define REFUSED() \
	(__builtin_expect(apigouv_refuse_point(0, __builtin_return_address(0)), 0))

void *
malloc(size_t size)
{
	if (REFUSED())
	{
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	if (REFUSED())
	{
		errno = ENOMEM;
		return NULL;
	}
	return __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	if (REFUSED())
	{
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(old, size);
}

char *
strdup(const char *text)
{
	size_t		size = strlen(text) + 1;
	char	   *copy;

	if (REFUSED())
	{
		errno = ENOMEM;
		return NULL;
	}
	copy = __libc_malloc(size);
	return copy ? memcpy(copy, text, size) : NULL;
}
