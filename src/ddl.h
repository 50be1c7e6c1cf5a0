/*-------------------------------------------------------------------------
 *
 * ddl.h
 *		The objects that the command of an event trigger has touched.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_DDL_H
#define APIGOUV_DDL_H

#include "fmgr.h"
#include "nodes/pg_list.h"

extern void apigouv_ddl_objects(FunctionCallInfo fcinfo, List **classes,
								List **objects);

#endif							/* APIGOUV_DDL_H */
