/*-------------------------------------------------------------------------
 *
 * ddl.c
 *		The objects that the command of an event trigger has touched.
 *
 * Only SQL tells them: the server offers no function in C.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "utils/memutils.h"

#include "ddl.h"
#include "messages.h"

/*
 * apigouv_ddl_objects
 *		Classes and OIDs of the objects that a command has made, changed or
 *		dropped, one list beside the other, in the current context.
 *
 * fcinfo: that of a function for event triggers; called otherwise, it raises
 * ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED.
 */
void
apigouv_ddl_objects(FunctionCallInfo fcinfo, List **classes, List **objects)
{
	MemoryContext cxt = CurrentMemoryContext;
	EventTriggerData *data;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function is called by an event trigger only")));
	data = (EventTriggerData *) fcinfo->context;
	*classes = NIL;
	*objects = NIL;
	SPI_connect();
	if (SPI_execute(strcmp(data->event, "sql_drop") == 0
					? "SELECT classid, objid FROM pg_catalog.pg_event_trigger_dropped_objects()"
					: "SELECT classid, objid FROM pg_catalog.pg_event_trigger_ddl_commands()",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the objects of a command");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		isnull;
		Datum		class = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1,
										  &isnull);
		Datum		object = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2,
										   &isnull);
		MemoryContext old = MemoryContextSwitchTo(cxt);

		*classes = lappend_oid(*classes, DatumGetObjectId(class));
		*objects = lappend_oid(*objects, DatumGetObjectId(object));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}
