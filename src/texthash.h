/*-------------------------------------------------------------------------
 *
 * texthash.h
 *		Hash tables whose keys are pointers to texts, and a hash of several.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_TEXTHASH_H
#define APIGOUV_TEXTHASH_H

#include "common/hashfn.h"
#include "utils/hsearch.h"

static inline uint32
texthash_hash(const void *key, Size keysize)
{
	const char *text = *(const char *const *) key;

	return hash_bytes((const unsigned char *) text, (int) strlen(text));
}

static inline int
texthash_match(const void *a, const void *b, Size keysize)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* A table in cxt; its entries begin with the pointer to their key. */
static inline HTAB *
texthash_create(const char *name, Size entrysize, long nelem,
				MemoryContext cxt)
{
	HASHCTL		info;

	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(char *);
	info.entrysize = entrysize;
	info.hash = texthash_hash;
	info.match = texthash_match;
	info.hcxt = cxt;
	return hash_create(name, nelem, &info,
					   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE |
					   HASH_CONTEXT);
}

/* hash, and n texts in their order, any of them NULL, as one number */
static inline uint64
texthash_several(uint64 hash, int n, const char *const *texts)
{
	for (int i = 0; i < n; i++)
	{
		const unsigned char *text = (const unsigned char *) texts[i];

		if (text != NULL)
			hash = hash_combine64(hash,
								  hash_bytes_extended(text, strlen(texts[i]),
													  i));
	}
	return hash;
}

#endif							/* APIGOUV_TEXTHASH_H */
