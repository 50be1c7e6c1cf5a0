/*-------------------------------------------------------------------------
 *
 * clock.h
 *		Clocks that do not jump, and the boot of the machine they count from.
 *
 * No PostgreSQL header: the quota ledger, which also builds stand-alone, reads
 * them too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_CLOCK_H
#define APIGOUV_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Microseconds on a clock of the system. */
static inline int64_t
clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Microseconds on a clock that never jumps; it may stand still in a sleep. */
static inline int64_t
monotonic_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

/* Microseconds since the boot, on a clock that never goes back. */
static inline int64_t
boot_us(void)
{
	return clock_us(CLOCK_BOOTTIME);
}

/*
 * A text of 36 characters that another boot does not have; NULL, with errno,
 * if the system does not tell.
 */
#define APIGOUV_BOOT_ID_BYTES 40
extern const char *apigouv_clock_boot_id(void);

#endif							/* APIGOUV_CLOCK_H */
