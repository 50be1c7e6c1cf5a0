/*-------------------------------------------------------------------------
 *
 * messages.h
 *		Messages of this extension belong to its own translation catalog.
 *
 * To be included by every file that raises an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_MESSAGES_H
#define APIGOUV_MESSAGES_H

#undef TEXTDOMAIN
#define TEXTDOMAIN PG_TEXTDOMAIN("apigouv_fdw")

#endif							/* APIGOUV_MESSAGES_H */
