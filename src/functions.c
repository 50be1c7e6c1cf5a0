/*-------------------------------------------------------------------------
 *
 * functions.c
 *		SQL functions beside the wrapper: company numbers, territories.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "apidef.h"

PG_FUNCTION_INFO_V1(apigouv_siret);
PG_FUNCTION_INFO_V1(apigouv_siren);
PG_FUNCTION_INFO_V1(apigouv_regions);
PG_FUNCTION_INFO_V1(apigouv_departements);

/* Characters that people put between the digits of a company number. */
static const char *const separators[] = {
	" ", "\t", ".", "-",
	"\xC2\xA0",					/* no-break space */
	"\xE2\x80\xAF",				/* narrow no-break space */
	"\xE2\x80\x89",				/* thin space */
	"\xE2\x80\x87",				/* figure space */
};

/* Bytes of the separator at a text's start, 0 if there is none. */
static size_t
separator_length(const char *text)
{
	for (size_t i = 0; i < lengthof(separators); i++)
	{
		size_t		len = strlen(separators[i]);

		if (strncmp(text, separators[i], len) == 0)
			return len;
	}
	return 0;
}

/* A text without separators, in the current context. */
static char *
without_separators(const text *value)
{
	char	   *input = text_to_cstring(value);
	char	   *utf8 = pg_server_to_any(input, strlen(input), PG_UTF8);
	char	   *result = palloc(strlen(utf8) + 1);
	char	   *out = result;

	while (*utf8 != '\0')
	{
		size_t		len = separator_length(utf8);

		if (len > 0)
			utf8 += len;
		else
			*out++ = *utf8++;
	}
	*out = '\0';
	return result;
}

/*
 * apigouv_siret(text)
 *		A SIRET written in any way, as 14 digits; NULL when it cannot be one.
 */
Datum
apigouv_siret(PG_FUNCTION_ARGS)
{
	char	   *digits = without_separators(PG_GETARG_TEXT_PP(0));

	if (!apigouv_check_siret(digits))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(digits));
}

/*
 * apigouv_siren(text)
 *		A SIREN, or the SIREN of a SIRET, as 9 digits; NULL when it cannot be
 *		one.
 */
Datum
apigouv_siren(PG_FUNCTION_ARGS)
{
	char	   *digits = without_separators(PG_GETARG_TEXT_PP(0));

	if (apigouv_check_siret(digits))
		digits[9] = '\0';
	if (!apigouv_check_siren(digits))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(digits));
}

/* Return the rows of a shared list as text columns. */
static Datum
return_rows(FunctionCallInfo fcinfo, const char *list, int nnames,
			const char *const *names)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, apigouv_shared_rows(list, nnames, names))
	{
		char	  **texts = lfirst(lc);
		Datum		values[8];
		bool		nulls[8];

		Assert(nnames <= (int) lengthof(values));
		for (int i = 0; i < nnames; i++)
		{
			nulls[i] = texts[i] == NULL;
			values[i] = (Datum) 0;
			if (texts[i] != NULL)
				values[i] = CStringGetTextDatum(pg_any_to_server(texts[i],
																 strlen(texts[i]),
																 PG_UTF8));
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}

/* apigouv_regions(): code, nom */
Datum
apigouv_regions(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"code", "nom"};

	return return_rows(fcinfo, "regions", lengthof(names), names);
}

/* apigouv_departements(): code, nom, code_region, region */
Datum
apigouv_departements(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"code", "nom", "code_region", "region"};

	return return_rows(fcinfo, "departements", lengthof(names), names);
}
