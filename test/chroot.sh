# Debian systems in directories, for the scripts that build and test in one; read with ".", after lib.sh. Root only.
#
# A chroot is entered in mount and process namespaces of its own: what was mounted goes, and what still runs ends, with
# the command, even when that is killed. The network is the machine's, since the tests use loopback.
# shellcheck shell=sh disable=SC2034,SC2154

# The programs that make and enter chroots, installed when they are missing.
install_chroot_tools()
{
	if [ "$(id -u)" -ne 0 ]; then
		echo "making a chroot is for root" >&2
		return 1
	fi
	command -v mmdebstrap >/dev/null && return
	echo "installing mmdebstrap" >&2
	apt-get update -q >/dev/null || return 1
	wanted=mmdebstrap
	install_without_services
}

# The archive that this system's apt takes its main suite from, as a line of sources.list begins.
debian_archive()
{
	# shellcheck disable=SC1091
	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v suite="$codename" '$1 == suite && $2 == "main" {
			print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " $3; exit }'
}

# make_chroot SUITE DIR [PACKAGE,...]: a minimal system. From the main component of that archive, unless $archive names
# another one in the same form, and $components more of it. What the archive says of how long its lists are good for is
# not looked at: a mirror may be a snapshot. Services are not started in it.
make_chroot()
{
	archive=${archive:-$(debian_archive)}
	if [ -z "$archive" ]; then
		echo "apt names no archive for the main suite of this system" >&2
		return 1
	fi
	mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
		--include="apt${3:+,$3}" "$1" "$2" "$archive $1 main${components:+ $components}" > "$2.log" 2>&1 || {
		tail -n 20 "$2.log" >&2
		return 1
	}
	rm "$2.log"
	keyring=$(echo "$archive" | sed -n 's/.*signed-by=\([^] ]*\).*/\1/p')
	[ -e "$2$keyring" ] || { mkdir -p "$2$(dirname "$keyring")" && cp "$keyring" "$2$keyring"; }
	printf '#!/bin/sh\nexit 101\n' > "$2/usr/sbin/policy-rc.d"
	chmod 755 "$2/usr/sbin/policy-rc.d"
	echo 'Acquire::Check-Valid-Until "false";' > "$2/etc/apt/apt.conf.d/99no-valid-until"
	cp /etc/hosts /etc/resolv.conf "$2/etc"
	# what the package manager has to know of this machine to reach the archive
	for apt_conf in /etc/apt/apt.conf.d/*; do
		if grep -qsiE 'Acquire::(https?::)?(Proxy|Retries)' "$apt_conf"; then
			cp "$apt_conf" "$2/etc/apt/apt.conf.d"
		fi
	done
}

# in_chroot DIR COMMAND...: as root, with an environment of its own. It ends when the shell that calls it ends.
in_chroot()
{
	in_dir=$1
	shift
	# The inner shell is the first process of its namespace, and lives until the command has ended.
	# shellcheck disable=SC2016
	setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child sh -c '
		dir=$1
		shift
		mount -t proc proc "$dir/proc" && mount -t tmpfs -o mode=1777 tmpfs "$dir/dev/shm" || exit 1
		chroot "$dir" "$@"
		status=$?
		exit $status' sh "$in_dir" \
		env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# interruptible COMMAND...: a function or program whose end is waited for, so that signals to this shell are obeyed at
# once; the traps that chroot_traps sets end it. Its exit status is the command's.
chroot_child=
interruptible()
{
	"$@" < /dev/null &
	chroot_child=$!
	child_status=0
	wait "$chroot_child" || child_status=$?
	chroot_child=
	return "$child_status"
}

# chroot_traps DIR: however this shell ends, what it waits for ends, and the directory goes
chroot_traps()
{
	chroot_work=$1
	trap end_chroots EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
}

# shellcheck disable=SC2317
end_chroots()
{
	trap '' INT TERM HUP
	if [ -n "$chroot_child" ]; then
		kill -KILL "$chroot_child" 2>/dev/null || true
		wait "$chroot_child" 2>/dev/null || true
	fi
	# what is being killed may still write
	rm -rf --one-file-system "$chroot_work" 2>/dev/null || { sleep 1; rm -rf --one-file-system "$chroot_work"; }
}
