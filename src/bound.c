/*-------------------------------------------------------------------------
 *
 * bound.c
 *		Settings that bound a role, and the connection's own options.
 *
 * Until the library is loaded the server knows nothing of its settings: it
 * keeps any value under such a name, that of the strongest source alone.  The
 * options of a connection (PGOPTIONS) are stronger than ALTER ROLE, ALTER
 * DATABASE and postgresql.conf.  When the library then defines a setting for
 * superusers, the server drops the value of a role without the right to it;
 * but what the superuser had set is gone as well, and the default would hold.
 * So a role could lift a bound, or end its audit, by naming the setting.
 *
 * The lost value cannot be found again, so the library refuses to be loaded
 * in such a session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_parameter_acl.h"
#include "utils/acl.h"
#include "utils/guc.h"

#include "bound.h"
#include "compat.h"
#include "messages.h"

/* The settings for superusers. */
static const char *const bounds[] = {
	"apigouv_fdw.audit",
	"apigouv_fdw.definition_dir",
	"apigouv_fdw.enable_pushdown",
	"apigouv_fdw.max_requests_per_query",
	"apigouv_fdw.recipient",
	"apigouv_fdw.shared_cache_size",
};

/* May the role that gave a value with its connection set it? */
static bool
may_set(const struct config_generic *setting)
{
	return setting->reset_scontext != PGC_BACKEND ||
		(IsTransactionState() &&
		 pg_parameter_aclcheck(setting->name, setting->reset_srole,
							   ACL_SET) == ACLCHECK_OK);
}

/*
 * apigouv_bound_check
 *		Refuse a session whose connection's options hide a bound.
 *
 * From _PG_init, before any setting is defined: an error there leaves nothing
 * behind, and the next use of the library comes here again.  Raises
 * ERRCODE_INSUFFICIENT_PRIVILEGE.
 */
void
apigouv_bound_check(void)
{
	for (size_t i = 0; i < lengthof(bounds); i++)
	{
		struct config_generic *setting = apigouv_find_setting(bounds[i]);

		if (setting == NULL || setting->reset_source != PGC_S_CLIENT ||
			may_set(setting))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set parameter \"%s\"",
						bounds[i]),
				 errdetail("The options of the connection name it, which hides what a superuser has set."),
				 errhint("Connect without it; for the right to it, GRANT SET ON PARAMETER.")));
	}
}
