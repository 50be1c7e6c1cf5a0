/*-------------------------------------------------------------------------
 *
 * pivot.c
 *		Several elements of a list that make one row.
 *
 * Some APIs give one element per indicator, where people want a row with a
 * column per indicator.  Elements that agree in what the route groups by are
 * one row, wherever they stand in the list, so the whole reply is read before
 * its first row is given.  Nothing of it is copied: a group holds places in
 * the reply's bytes, which stay where they are while the reply is pinned.
 *
 * Each element of a group has a name of its own.  Two of one name would make
 * a value depend on their order, so they are an error, also where no column
 * asks for that name.
 *
 * Not here: columns (tuple.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "messages.h"
#include "pivot.h"
#include "redact.h"
#include "texthash.h"
#include "value.h"

/* Longest name that a message shows, in bytes. */
#define SHOWN_BYTES 64

struct ApigouvPivot
{
	const ApigouvReader *reader;
	MemoryContext cxt;			/* its own */
	struct HTAB *groups;		/* GroupEntry, by what they share */
	struct HTAB *names;			/* NameEntry, by that and a name */
	List	   *rows;			/* of ApigouvGroup, in order */
	int			next;			/* which of them is to be given */
};

typedef struct GroupEntry
{
	char	   *key;
	ApigouvGroup *group;
} GroupEntry;

typedef struct NameEntry
{
	char	   *key;
} NameEntry;

ApigouvPivot *
apigouv_pivot_create(const ApigouvReader *reader, MemoryContext cxt)
{
	MemoryContext own = AllocSetContextCreate(cxt, "apigouv_fdw pivot",
											  ALLOCSET_DEFAULT_SIZES);
	ApigouvPivot *pivot = MemoryContextAllocZero(own, sizeof(ApigouvPivot));

	pivot->reader = reader;
	pivot->cxt = own;
	pivot->groups = texthash_create("apigouv_fdw groups", sizeof(GroupEntry),
									256, own);
	pivot->names = texthash_create("apigouv_fdw names", sizeof(NameEntry),
								   256, own);
	return pivot;
}

void
apigouv_pivot_free(ApigouvPivot *pivot)
{
	MemoryContextDelete(pivot->cxt);
}

/* Is there a text to read? */
static bool
has_text(const ApigouvValue *value)
{
	return value->kind != APIGOUV_ABSENT && value->kind != APIGOUV_NULL;
}

/*
 * append_key
 *		Add a value to a key, so that no two sequences of values look alike.
 *
 * A value that lacks is like null.
 */
static void
append_key(StringInfo key, const ApigouvValue *value)
{
	char	   *text;

	if (!has_text(value))
	{
		appendStringInfoChar(key, '-');
		return;
	}
	text = apigouv_value_cstring(value);
	appendStringInfo(key, "%zu:%s", strlen(text), text);
	pfree(text);
}

/* The group of an element, made with it if it is the first. */
static ApigouvGroup *
find_group(ApigouvPivot *pivot, char *key, const ApigouvRow *row)
{
	size_t		bytes = sizeof(ApigouvValue) * pivot->reader->nvalues;
	GroupEntry *entry;
	ApigouvGroup *group;
	bool		found;

	entry = hash_search(pivot->groups, &key, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->group;
	group = palloc0(sizeof(ApigouvGroup));
	group->values = palloc(bytes);
	memcpy(group->values, row->values, bytes);
	for (int i = 0; i < row->reader->route->nlists; i++)
		group->positions[i] = apigouv_tuple_position(row, i);
	pivot->rows = lappend(pivot->rows, group);
	key = pstrdup(key);
	entry = hash_search(pivot->groups, &key, HASH_ENTER, &found);
	entry->group = group;
	return group;
}

const char *
apigouv_pivot_add(ApigouvPivot *pivot, const ApigouvRow *row)
{
	const ApigouvReader *reader = pivot->reader;
	const ApigouvValue *name = &row->values[reader->pivot_index];
	MemoryContext old;
	ApigouvGroup *group;
	ApigouvGroupMember *member;
	StringInfoData key;
	bool		found;

	if (!has_text(name) || name->len == 0)
		return pstrdup(_("an element has no name to tell it from others"));
	old = MemoryContextSwitchTo(pivot->cxt);
	initStringInfo(&key);
	for (int i = 0; i < reader->route->pivot.nby; i++)
		append_key(&key, name + 1 + i);
	group = find_group(pivot, key.data, row);
	member = palloc(sizeof(ApigouvGroupMember));
	member->name = apigouv_value_cstring(name);
	member->whole = row->values[reader->whole_index];
	group->members = lappend(group->members, member);
	append_key(&key, name);
	(void) hash_search(pivot->names, &key.data, HASH_ENTER, &found);
	MemoryContextSwitchTo(old);
	if (!found)
		return NULL;
	return psprintf(_("two elements of one row are named \"%s\""),
					apigouv_clean_text(member->name, strlen(member->name),
									   SHOWN_BYTES));
}

const ApigouvGroup *
apigouv_pivot_next(ApigouvPivot *pivot)
{
	if (pivot->next == list_length(pivot->rows))
		return NULL;
	return list_nth(pivot->rows, pivot->next++);
}
