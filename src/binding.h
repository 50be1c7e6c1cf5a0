/*-------------------------------------------------------------------------
 *
 * binding.h
 *		Values of conditions to the texts that a parameter sends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_BINDING_H
#define APIGOUV_BINDING_H

#include "apidef.h"

/* One value of a condition, and what a parameter makes of it. */
typedef struct ApigouvBound
{
	char	   *asked;			/* text of the value in the query */
	char	   *wire;			/* text to send */
} ApigouvBound;

typedef enum ApigouvBindResult
{
	APIGOUV_BIND_OK,			/* send the values; none left = no row */
	APIGOUV_BIND_NULL,			/* the condition cannot be true */
	APIGOUV_BIND_SKIP,			/* cannot be sent: checked here only */
	APIGOUV_BIND_ELSEWHERE,		/* another route must serve */
	APIGOUV_BIND_TORN			/* asked both with and without it: an error */
} ApigouvBindResult;

/*
 * values: list of ApigouvBound: distinct, or the elements of one array in
 * order.  malformed: values dropped because no row can have them.
 */
typedef struct ApigouvBindValues
{
	List	   *values;
	bool		is_sequence;
	int			malformed;
} ApigouvBindValues;

extern List *apigouv_binding_texts(Datum value, bool isnull, Oid type,
								   bool is_array, bool *sendable);
extern ApigouvBindResult apigouv_binding_values(const ApigouvParam *param,
												uint32 op, Datum value,
												bool isnull, Oid type,
												bool is_array,
												ApigouvBindValues *result);

extern bool apigouv_binding_is_blank(const char *text);
extern List *apigouv_binding_wires(const ApigouvBindValues *values);

#endif							/* APIGOUV_BINDING_H */
