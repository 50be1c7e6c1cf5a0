/*-------------------------------------------------------------------------
 *
 * spill.h
 *		The temporary file of a transaction, for replies past cache_size.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_SPILL_H
#define APIGOUV_SPILL_H

#include "postgres.h"

extern off_t apigouv_spill_write(const char *bytes, size_t len);
extern bool apigouv_spill_read(off_t at, char *bytes, size_t len);
extern void apigouv_spill_close(void);

#endif							/* APIGOUV_SPILL_H */
