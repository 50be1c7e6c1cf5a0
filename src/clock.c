/*-------------------------------------------------------------------------
 *
 * clock.c
 *		The boot of the machine that the clocks of clock.h count from.
 *
 * Builds without PostgreSQL.
 *
 *-------------------------------------------------------------------------
 */
#include "clock.h"

#include <fcntl.h>
#include <unistd.h>

/* Read once: a process does not outlive its boot. */
const char *
apigouv_clock_boot_id(void)
{
	static char id[APIGOUV_BOOT_ID_BYTES];
	int			file;
	ssize_t		len;

	if (id[0] != '\0')
		return id;
	file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return NULL;
	len = read(file, id, sizeof(id) - 1);
	close(file);
	if (len < 36)
	{
		id[0] = '\0';
		return NULL;
	}
	id[36] = '\0';
	return id;
}
