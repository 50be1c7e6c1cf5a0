/*-------------------------------------------------------------------------
 *
 * rowstream_trie.h
 *		Dotted paths, compiled to a trie; names of a document, found in it.
 *
 * Private to rowstream.c and rowvalue.c, as rowstream_scan.h is.
 *
 * A trie does not change once built, so all replies of a route share it.
 * What is learnt of a reply, the order of its members, is in shapes, which
 * belong to one reply.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_ROWSTREAM_TRIE_H
#define APIGOUV_ROWSTREAM_TRIE_H

#include "rowstream_scan.h"

#include <stdlib.h>

#define MAX_STEPS		64		/* names in a path */
#define NAME_BYTES		32		/* longest predicted name and its quote */
#define SHAPE_ENTRIES	64		/* members predicted, beside those wanted */

/* A member name that was met, to recognise it at the same place later. */
typedef struct Entry
{
	char		name[NAME_BYTES];	/* as in the document, with final quote */
	uint32_t	mask;			/* bit i: name[i] counts */
	int			len;			/* without the quote */
	int			child;			/* node, -1 = not wanted */
} Entry;

/* The members of the objects at one node, in the order last seen. */
typedef struct Shape
{
	Entry	   *entries;
	int			n;
	int			max;
} Shape;

/* A place in a document that some path leads to or through. */
typedef struct Node
{
	const char *name;			/* member of the parent; not terminated */
	int			name_len;
	int			first_child;	/* -1 = none */
	int			next;			/* next child of the parent, -1 = last */
	int			first_slot;		/* values wanted of this place, -1 = none */
	int			child_at;		/* where its children are in Trie.children */
	int			nchildren;
} Node;

/* Paths, compiled.  Node 0 is the value that they start from. */
typedef struct Trie
{
	char	   *names;			/* text of the paths */
	Node	   *nodes;
	size_t		nnodes;
	int		   *children;		/* of each node, by length and bytes of name */
	int		   *next_slot;		/* of each path: another for the same place */
} Trie;

/* Order of names in Trie.children. */
NOT_INLINE int
compare_names(const char *a, size_t a_len, const char *b, size_t b_len)
{
	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return memcmp(a, b, a_len);
}

/*
 * Takes the next name off a dotted path: its start is returned, its length
 * set, *path moved after it and its dot.  NULL at the end.
 */
NOT_INLINE const char *
take_name(const char **path, size_t *len)
{
	const char *name = *path;

	if (*name == '\0')
		return NULL;
	*len = strcspn(name, ".");
	*path = name + *len;
	if (**path == '.')
		(*path)++;
	return name;
}

/* NULL, or what is wrong with a path. */
NOT_INLINE const char *
check_path(const char *path)
{
	const char *p;
	int			steps = 1;

	if (*path == '\0')
		return NULL;
	for (p = path; *p != '\0'; p++)
	{
		if (*p == '[' || *p == ']')
			return gettext_noop("brackets may only end the path of the rows");
		if (*p == '.')
			steps++;
		if (*p == '.' && (p == path || p[1] == '.' || p[1] == '\0'))
			return gettext_noop("path has an empty name");
	}
	return steps > MAX_STEPS
		? gettext_noop("path has too many names") : NULL;
}

/* The child of a node with that name, made if there is none. */
NOT_INLINE int
add_child(Trie *trie, int parent, const char *name, size_t len)
{
	int		   *link = &trie->nodes[parent].first_child;
	Node	   *node;

	while (*link >= 0)
	{
		int			order;

		node = &trie->nodes[*link];
		order = compare_names(node->name, (size_t) node->name_len, name, len);
		if (order == 0)
			return *link;
		if (order > 0)
			break;
		link = &node->next;
	}
	node = &trie->nodes[trie->nnodes];
	node->name = name;
	node->name_len = (int) len;
	node->first_child = -1;
	node->first_slot = -1;
	node->next = *link;
	*link = (int) trie->nnodes++;
	trie->nodes[parent].nchildren++;
	return (int) (node - trie->nodes);
}

/* Adds path number slot; returns its node. */
NOT_INLINE int
add_path(Trie *trie, int slot, const char *path)
{
	int			node = 0;
	const char *name;
	size_t		len;

	while ((name = take_name(&path, &len)) != NULL)
		node = add_child(trie, node, name, len);
	trie->next_slot[slot] = trie->nodes[node].first_slot;
	trie->nodes[node].first_slot = slot;
	return node;
}

/* Fill the table of children, which are sorted already. */
NOT_INLINE void
list_children(Trie *trie)
{
	int			n = 0;
	size_t		i;

	for (i = 0; i < trie->nnodes; i++)
	{
		int			child;

		trie->nodes[i].child_at = n;
		for (child = trie->nodes[i].first_child; child >= 0;
			 child = trie->nodes[child].next)
			trie->children[n++] = child;
	}
}

NOT_INLINE void
trie_free(Trie *trie)
{
	free(trie->names);
	free(trie->nodes);
	free(trie->children);
	free(trie->next_slot);
}

/*
 * Compiles n paths, and one more when last is not NULL (its number is n).
 * trie: all zeros.  Returns NULL or static text; frees nothing.
 */
NOT_INLINE const char *
trie_build(Trie *trie, int n, const char *const *paths, const char *last)
{
	size_t		bytes = 0;
	size_t		nodes = 1;
	char	   *copy;
	int			i;

	for (i = 0; i <= n; i++)
	{
		const char *path = i < n ? paths[i] : last;
		const char *error = path != NULL ? check_path(path) : NULL;

		if (error != NULL)
			return error;
		for (; path != NULL && *path != '\0'; path++, bytes++)
			nodes += *path == '.';
		nodes++;
		bytes++;
	}
	trie->names = copy = malloc(bytes);
	trie->nodes = calloc(nodes, sizeof(Node));
	trie->children = malloc(nodes * sizeof(int));
	trie->next_slot = malloc(((size_t) n + 1) * sizeof(int));
	if (trie->names == NULL || trie->nodes == NULL ||
		trie->children == NULL || trie->next_slot == NULL)
		return gettext_noop("out of memory");
	trie->nodes[0].first_child = trie->nodes[0].first_slot = -1;
	trie->nodes[0].next = -1;
	trie->nnodes = 1;
	for (i = 0; i <= n; i++)
	{
		const char *path = i < n ? paths[i] : last;

		if (path == NULL)
			continue;
		(void) add_path(trie, i, strcpy(copy, path));
		copy += strlen(path) + 1;
	}
	list_children(trie);
	return NULL;
}

/* The child of a node with a name of the document, or -1. */
NOT_INLINE int
find_child(const Trie *trie, int node, const char *name, size_t len,
		   bool escaped)
{
	const int  *children = trie->children + trie->nodes[node].child_at;
	int			low = 0;
	int			high = trie->nodes[node].nchildren;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		const Node *child = &trie->nodes[children[middle]];
		int			order;

		if (escaped)
		{
			/* rare: one after the other */
			if (escaped_name_is(name, len, trie->nodes[children[low]].name,
								(size_t) trie->nodes[children[low]].name_len))
				return children[low];
			low++;
			continue;
		}
		order = compare_names(child->name, (size_t) child->name_len,
							  name, len);
		if (order == 0)
			return children[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

/* Is the name at p, after its opening quote, that of an entry? */
ALWAYS_INLINE bool
same_name(const Entry *entry, const char *p, const char *end)
{
#ifdef APIGOUV_SSE2
	if (end - p >= NAME_BYTES)
	{
		const __m128i *a = (const __m128i *) entry->name;
		const __m128i *b = (const __m128i *) p;
		__m128i		low = _mm_loadu_si128(a);
		__m128i		high = _mm_loadu_si128(a + 1);
		uint32_t	same;

		low = _mm_cmpeq_epi8(low, _mm_loadu_si128(b));
		high = _mm_cmpeq_epi8(high, _mm_loadu_si128(b + 1));
		same = (uint32_t) _mm_movemask_epi8(low) |
			(uint32_t) _mm_movemask_epi8(high) << 16;
		return (same & entry->mask) == entry->mask;
	}
#endif
	return end - p > entry->len &&
		memcmp(entry->name, p, (size_t) entry->len + 1) == 0;
}

#endif							/* APIGOUV_ROWSTREAM_TRIE_H */
