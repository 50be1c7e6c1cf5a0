/*-------------------------------------------------------------------------
 *
 * apidef_rows.c
 *		Where the rows of a route's replies are.
 *
 * Rows may stand in lists inside lists; sources may then read the elements
 * around the row, by level.  Or several elements of a list make one row: a
 * pivot.  Whether a source fits is a question of the route, since routes of
 * one table may be shaped differently.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "apidef_read.h"
#include "unnest.h"

/*
 * apigouv_apidef_read_rows
 *		Where the rows are.
 *
 * A JSON path or none, then "[]" or not; or several such lists, each a path in
 * the elements of the one before.
 */
void
apigouv_apidef_read_rows(const ApigouvField *holder, ApigouvRoute *route)
{
	ApigouvField at = apigouv_field_need(holder, "rows");
	char	   *part;
	char	   *end;

	route->rows_path = apigouv_field_value(&at, APIGOUV_TEXT_DATA);
	part = pstrdup(route->rows_path);
	while ((end = strstr(part, "[]")) != NULL)
	{
		*end = '\0';
		if (part[0] != '\0' || route->nlists > 0)
			apigouv_field_check_json_path(&at, part);
		route->nlists++;
		part = end + 2;
		if (*part == '\0')
			break;
		if (*part++ != '.' || strstr(part, "[]") == NULL)
			apigouv_field_error(&at, NULL, "invalid path \"%s\"",
								route->rows_path);
	}
	if (part[0] != '\0')
		apigouv_field_check_json_path(&at, part);
	if (route->nlists > APIGOUV_MAX_LISTS)
		apigouv_field_error(&at, NULL, "names more than %d lists",
							APIGOUV_MAX_LISTS);
}

/*
 * apigouv_apidef_read_pivot
 *		Which elements of a route's list make one row.
 *
 * The route's paging and sources have been read.  Column reponse is then all
 * elements of the row.
 */
void
apigouv_apidef_read_pivot(const ApigouvField *holder,
						  const ApigouvTable *table, ApigouvRoute *route)
{
	static const char *const members[] = {"by", "name", NULL};
	ApigouvField at = apigouv_field_get(holder, "pivot");
	ApigouvPivotRule *pivot = &route->pivot;
	ApigouvSource *reponse = &route->sources[table->reponse_column];
	ApigouvField by;
	ApigouvField name;

	if (at.json == NULL)
		return;
	apigouv_field_members(&at, members);
	by = apigouv_field_need(&at, "by");
	pivot->by = apigouv_field_texts(&at, "by", APIGOUV_TEXT_DATA,
									&pivot->nby);
	if (pivot->nby == 0)
		apigouv_field_error(&by, NULL, "must not be empty");
	for (int i = 0; i < pivot->nby; i++)
	{
		ApigouvField element = apigouv_field_at(&by, i);

		apigouv_field_check_json_path(&element, pivot->by[i]);
	}
	name = apigouv_field_need(&at, "name");
	pivot->name = apigouv_field_value(&name, APIGOUV_TEXT_DATA);
	apigouv_field_check_json_path(&name, pivot->name);
	if (route->nlists == 0)
		apigouv_field_error(&at, NULL, "needs rows in a list");
	if (route->paging.style != APIGOUV_PAGING_NONE)
		apigouv_field_error(&at, NULL, "does not fit \"paging\"");
	if (reponse->kind == APIGOUV_SOURCE_PATH && reponse->paths[0][0] == '\0')
		reponse->kind = APIGOUV_SOURCE_GROUP;
}

/* What the sources of a route read of its rows. */
typedef struct RowUse
{
	bool		whole;			/* the row itself, as a column's value */
	bool		members;
} RowUse;

/*
 * check_source_level
 *		Is there the element that a source, or one inside it, is to read?
 *
 * Notes what it reads of the row itself.
 */
static void
check_source_level(const ApigouvField *at, const ApigouvRoute *route,
				   const ApigouvSource *source, const char *column,
				   RowUse *use)
{
	bool		in_list = source->kind == APIGOUV_SOURCE_PARENT ||
	source->kind == APIGOUV_SOURCE_POSITION;

	if (in_list && source->level >= route->nlists)
		apigouv_field_error(at, NULL,
							"column \"%s\": rows \"%s\" are in no list of level %d",
							column, route->rows_path, source->level);
	if (source->kind == APIGOUV_SOURCE_POSITION &&
		source->level == route->nlists - 1 &&
		route->paging.style != APIGOUV_PAGING_NONE && !route->paging.stable)
		apigouv_field_error(at, NULL,
							"column \"%s\": the list has no stable order",
							column);
	if (source->kind == APIGOUV_SOURCE_PIVOT && route->pivot.nby == 0)
		apigouv_field_error(at, NULL,
							"column \"%s\" needs a \"pivot\" of the route",
							column);
	if (source->kind == APIGOUV_SOURCE_PATH)
	{
		use->whole |= source->paths[0][0] == '\0';
		use->members |= source->paths[0][0] != '\0';
	}
	for (int i = 0; i < source->nsubs; i++)
		check_source_level(at, route, &source->subs[i], column, use);
}

/*
 * apigouv_apidef_check_nesting
 *		Do the sources of a route fit the lists that its rows stand in?
 *
 * Pages are of the outermost list: a column that tells their elements apart
 * must be one of these.  Rows that only serve as a whole may be scalars.
 */
void
apigouv_apidef_check_nesting(const ApigouvField *at,
							 const ApigouvTable *table,
							 ApigouvRoute *route)
{
	int			unique = route->paging.unique_column;
	RowUse		use = {false, false};
	RowUse		ignored = {false, false};

	for (int i = 0; i < table->ncolumns; i++)
		check_source_level(at, route, &route->sources[i],
						   table->columns[i].name,
						   i == table->reponse_column ? &ignored : &use);
	route->any_rows = use.whole && !use.members && route->pivot.nby == 0;
	if (route->nlists > 1 && unique >= 0 &&
		(route->sources[unique].kind != APIGOUV_SOURCE_PARENT ||
		 route->sources[unique].level != route->nlists - 1))
		apigouv_field_error(at, NULL,
							"\"unique\": column \"%s\" is not of the outermost list",
							table->columns[unique].name);
}
