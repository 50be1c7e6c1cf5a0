/*-------------------------------------------------------------------------
 *
 * total.h
 *		Executing count(*) by the total that a list announces.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_TOTAL_H
#define APIGOUV_TOTAL_H

#include "scan_state.h"

struct ExplainState;

extern Index apigouv_total_relid(const ForeignScanState *node);
extern void apigouv_total_begin(ApigouvScanState *state, Oid relid);
extern TupleTableSlot *apigouv_total_next(ForeignScanState *node);
extern void apigouv_total_again(ApigouvScanState *state);
extern void apigouv_total_end(ApigouvScanState *state);
extern void apigouv_total_explain(const ApigouvScanState *state,
								  struct ExplainState *es);

#endif							/* APIGOUV_TOTAL_H */
