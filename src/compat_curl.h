/*-------------------------------------------------------------------------
 *
 * compat_curl.h
 *		What the HTTP engine needs to know of versions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_COMPAT_CURL_H
#define APIGOUV_COMPAT_CURL_H

#if defined(LIBCURL_VERSION_NUM) && LIBCURL_VERSION_NUM < 0x075700
#error "apigouv_fdw needs libcurl 7.87 or later"
#endif

/*
 * A set of events for the backend's life: the first argument was a memory
 * context before 17, and is a resource owner since.
 */
#if PG_VERSION_NUM >= 170000
#define apigouv_create_wait_set(nevents) CreateWaitEventSet(NULL, nevents)
#else
#define apigouv_create_wait_set(nevents) \
	CreateWaitEventSet(TopMemoryContext, nevents)
#endif

#endif							/* APIGOUV_COMPAT_CURL_H */
