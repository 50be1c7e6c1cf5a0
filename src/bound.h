/*-------------------------------------------------------------------------
 *
 * bound.h
 *		Settings that bound a role, and the connection's own options.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_BOUND_H
#define APIGOUV_BOUND_H

extern void apigouv_bound_check(void);

#endif							/* APIGOUV_BOUND_H */
