/*-------------------------------------------------------------------------
 *
 * shared_name.c
 *		Names and tags of the replies kept for the whole cluster.
 *
 * They are HMAC-SHA256 with a random key of the cluster: a plain hash of a
 * token, or of a number in a URL, could be guessed by whoever lists the
 * directory.  Messages tell keys that are personal data by it, too.  The key
 * is made on first use.  It is read anew for each name, since the directory
 * may be emptied while the server runs; that costs less than the reading of
 * the file named.  The server log tells when one is made: from then on, the
 * hashes of audit lines are others.
 *
 * Not here: the files themselves (shared_cache.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hmac.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "messages.h"
#include "shared_cache.h"
#include "shared_name.h"

#define KEY_FILE APIGOUV_CACHE_DIR "/key"
#define KEY_BYTES 32

/* Tell once that replies cannot be kept; errno says why. */
void
apigouv_shared_warn(const char *path)
{
	static bool warned = false; /* this session */

	if (warned)
		return;
	warned = true;
	ereport(WARNING,
			(errcode_for_file_access(),
			 errmsg("could not keep replies in file \"%s\": %m", path),
			 errdetail("Queries go on without them.")));
}

/* Read exactly so many bytes. */
bool
apigouv_shared_read_fd(int fd, void *bytes, size_t len, off_t at)
{
	size_t		done = 0;

	while (done < len)
	{
		ssize_t		n = pread(fd, (char *) bytes + done, len - done,
							  at + (off_t) done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += n;
	}
	return true;
}

/* Write exactly so many bytes. */
bool
apigouv_shared_write_fd(int fd, const void *bytes, size_t len, off_t at)
{
	size_t		done = 0;

	while (done < len)
	{
		ssize_t		n = pwrite(fd, (const char *) bytes + done, len - done,
							   at + (off_t) done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			if (n == 0)
				errno = ENOSPC;
			return false;
		}
		done += n;
	}
	return true;
}

/* Make the directory unless it is there. */
static bool
make_dir(void)
{
	return mkdir(APIGOUV_CACHE_DIR, S_IRWXU) == 0 || errno == EEXIST;
}

/* Read the cluster's key. */
static bool
read_key(uint8 *key)
{
	struct stat st;
	int			fd = BasicOpenFilePerm(KEY_FILE, O_RDONLY | PG_BINARY, 0);
	bool		ok;

	if (fd < 0)
		return false;
	ok = fstat(fd, &st) == 0 && st.st_size == KEY_BYTES &&
		apigouv_shared_read_fd(fd, key, KEY_BYTES, 0);
	close(fd);
	if (!ok)
	{
		unlink(KEY_FILE);		/* damaged: what it named is out of reach */
		errno = ENOENT;
	}
	return ok;
}

/* A path of our own for a file being written. */
void
apigouv_shared_temporary_path(char *path)
{
	static uint32 n = 0;

	snprintf(path, MAXPGPATH, "%s/tmp.%d.%u", APIGOUV_CACHE_DIR, MyProcPid,
			 ++n);
}

/*
 * Make the cluster's key, unless another session is first: a link is made
 * only where there is no file.
 */
static bool
make_key(uint8 *key)
{
	char		path[MAXPGPATH];
	uint8		fresh[KEY_BYTES];
	int			fd;
	bool		ok;
	bool		made;

	if (!make_dir() || !pg_strong_random(fresh, sizeof(fresh)))
		return false;
	apigouv_shared_temporary_path(path);
	unlink(path);				/* of a process that had our number */
	fd = BasicOpenFilePerm(path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY,
						   S_IRUSR | S_IWUSR);
	if (fd < 0)
		return false;
	ok = apigouv_shared_write_fd(fd, fresh, sizeof(fresh), 0) &&
		fsync(fd) == 0;
	close(fd);
	made = ok && link(path, KEY_FILE) == 0;
	ok = made || (ok && errno == EEXIST);
	unlink(path);
	if (made)
		ereport(LOG,
				(errmsg("made a new key for hashes, file \"%s\"", KEY_FILE),
				 errdetail("Hashes of audit lines made with an earlier key are others."),
				 errhint("Where the cluster had a key, put its copy in the place of this one; otherwise keep a copy of this one with the audit."),
				 errhidestmt(true), errhidecontext(true)));
	return ok && read_key(key);
}

/* The cluster's key, made if need be; errno says why there is none. */
static bool
cluster_key(uint8 *key)
{
	return read_key(key) || (errno == ENOENT && make_key(key));
}

bool
apigouv_shared_in_use(void)
{
	return access(KEY_FILE, F_OK) == 0;
}

/* ----------------------------------------------------------------
 *		names
 * ----------------------------------------------------------------
 */

/* A keyed hash being computed.  ok: so far. */
typedef struct KeyedHash
{
	pg_hmac_ctx *ctx;
	bool		has_key;
	bool		ok;
} KeyedHash;

static KeyedHash
hash_begin(const char *what)
{
	KeyedHash	hash;
	uint8		key[KEY_BYTES];

	hash.ctx = NULL;
	hash.ok = cluster_key(key);
	hash.has_key = hash.ok;
	if (!hash.ok)
		return hash;
	hash.ctx = pg_hmac_create(PG_SHA256);
	hash.ok = hash.ctx != NULL &&
		pg_hmac_init(hash.ctx, key, sizeof(key)) >= 0 &&
		pg_hmac_update(hash.ctx, (const uint8 *) what,
					   strlen(what) + 1) >= 0;
	return hash;
}

/* Add a text with its end, so that texts cannot run into each other. */
static void
hash_text(KeyedHash *hash, const char *text)
{
	static const uint8 absent = 1;

	if (!hash->ok)
		return;
	if (text == NULL)
		hash->ok = pg_hmac_update(hash->ctx, &absent, 1) >= 0;
	else
		hash->ok = pg_hmac_update(hash->ctx, (const uint8 *) text,
								  strlen(text) + 1) >= 0;
}

/* Give the first bytes of the hash. */
static bool
hash_end(KeyedHash *hash, uint8 *bytes, size_t len)
{
	uint8		all[PG_SHA256_DIGEST_LENGTH];

	if (hash->ok)
		hash->ok = pg_hmac_final(hash->ctx, all, sizeof(all)) >= 0;
	if (hash->ctx != NULL)
		pg_hmac_free(hash->ctx);
	if (hash->ok)
		memcpy(bytes, all, len);
	return hash->ok;
}

/* The credentials themselves: who shares them shares replies. */
static void
hash_credentials(KeyedHash *hash, const ApigouvOptions *options,
				 const ApigouvSecrets *secrets)
{
	hash_text(hash, secrets->token);
	hash_text(hash, secrets->client_id);
	hash_text(hash, secrets->client_secret);
	hash_text(hash, secrets->client_id ? options->token_url : NULL);
}

bool
apigouv_shared_hash(const char *what, int n, const char *const *texts,
					uint8 *bytes, size_t len)
{
	KeyedHash	hash = hash_begin(what);

	for (int i = 0; i < n; i++)
		hash_text(&hash, texts[i]);
	return hash_end(&hash, bytes, len);
}

bool
apigouv_shared_name(const ApigouvOptions *options,
					const ApigouvSecrets *secrets, const ApigouvBuilt *built,
					ApigouvName *name)
{
	KeyedHash	hash;
	ListCell   *lc;

	if (apigouv_shared_cache_size == 0)
		return false;
	hash = hash_begin(built->total ? "total" : "request");
	if (!hash.has_key)
		apigouv_shared_warn(KEY_FILE);
	hash_text(&hash, options->api->name);
	hash_text(&hash, options->base_url);
	hash_credentials(&hash, options, secrets);
	hash_text(&hash, built->post ? "POST" : "GET");
	hash_text(&hash, built->url);
	foreach(lc, built->headers)
		hash_text(&hash, lfirst(lc));
	hash_text(&hash, NULL);
	hash_text(&hash, built->body);
	return hash_end(&hash, name->bytes, sizeof(name->bytes));
}

bool
apigouv_shared_tags(const ApigouvOptions *options,
					const ApigouvSecrets *secrets, const char *table,
					ApigouvTags *tags)
{
	KeyedHash	hash;
	bool		ok;

	if (apigouv_shared_cache_size == 0)
		return false;
	hash = hash_begin("server");
	hash_text(&hash, options->api->name);
	hash_text(&hash, options->base_url);
	ok = hash_end(&hash, tags->server, sizeof(tags->server));

	hash = hash_begin("credentials");
	hash_credentials(&hash, options, secrets);
	ok = hash_end(&hash, tags->credentials, sizeof(tags->credentials)) && ok;

	hash = hash_begin("table");
	hash_text(&hash, table);
	return hash_end(&hash, tags->table, sizeof(tags->table)) && ok;
}
