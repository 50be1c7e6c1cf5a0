/*-------------------------------------------------------------------------
 *
 * value.h
 *		JSON values to SQL values, by type.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_VALUE_H
#define APIGOUV_VALUE_H

#include "apidef.h"
#include "rowstream.h"

#include "fmgr.h"
#include "utils/timestamp.h"

/* What a column of a foreign table holds. */
typedef struct ApigouvTarget
{
	Oid			type;			/* declared, a domain perhaps */
	Oid			base_type;		/* of the domain */
	int32		typmod;
	FmgrInfo	input;
	Oid			ioparam;
	Oid			element;		/* of an array; InvalidOid if it is none */
	FmgrInfo	element_input;
	Oid			element_ioparam;
	int16		element_len;
	bool		element_byval;
	char		element_align;
} ApigouvTarget;

extern void apigouv_value_target(ApigouvTarget *target, Oid type,
								 int32 typmod);
extern Datum apigouv_value_from_text(const ApigouvTarget *target, char *utf8);
extern Datum apigouv_value_from_json(const ApigouvTarget *target,
									 const ApigouvValue *value);
extern Datum apigouv_value_array(const ApigouvTarget *target,
								 const ApigouvValue *array,
								 const char *element_path, bool sorted,
								 bool empty_is_null);
extern char *apigouv_value_cstring(const ApigouvValue *value);
extern Datum apigouv_value_unix_paris(const char *seconds);
extern TimestampTz apigouv_value_time(const char *text, bool *ok);

#endif							/* APIGOUV_VALUE_H */
