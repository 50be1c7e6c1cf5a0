# Shell parts that the scripts of this folder share; read with ".", after "root" is set.
# shellcheck shell=sh disable=SC2154

# Packages of test/packages that are not installed.  A line may name several, any of which will do.
missing_packages()
{
	while IFS= read -r line; do
		found=
		for package in $(echo "$line" | tr '|' ' '); do
			case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
				*' installed') found=$package; break ;;
			esac
		done
		[ -n "$found" ] || [ -z "$line" ] || echo "$line"
	done < "$root/test/packages"
}

# Install what is missing; without the right to, say what it is.
install_packages()
{
	command -v dpkg-query >/dev/null || return 0
	missing=$(missing_packages)
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		echo "packages to be installed by root: $(echo "$missing" | tr '\n' ' ')" >&2
		return 1
	fi
	echo "installing $(echo "$missing" | tr '\n' ' ')" >&2
	apt-get update -q >/dev/null || return 1
	wanted=
	for line in $missing; do
		for package in $(echo "$line" | tr '|' ' '); do
			if [ -n "$(apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: *\([^(]*\)$/\1/p')" ]; then
				wanted="$wanted $package"
				break
			fi
		done
	done
	install_without_services
}

# Install what the clients of test/clients lack, as far as it can be had: who lacks something is skipped there.
install_client_packages()
{
	missing=$(sh "$root/test/clients/run" --missing)
	[ -n "$missing" ] && [ "$(id -u)" -eq 0 ] && command -v dpkg-query >/dev/null || return 0
	echo "installing $(echo "$missing" | tr '\n' ' ')" >&2
	apt-get update -q >/dev/null || return 0
	for wanted in $missing; do
		install_without_services || echo "could not install $wanted" >&2
	done
}

# apt-get install $wanted, so that no service of theirs runs, now or after a boot: the tests start their own servers, on
# loopback only, while nginx as Debian sets it up would listen to the world.
install_without_services()
(
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' > "$policy"
		chmod 755 "$policy"
	fi
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $wanted >/dev/null || exit 1
	case " $wanted " in
		*' nginx '*) update-rc.d nginx disable >/dev/null 2>&1 || true ;;
	esac
)

# The pg_config of the highest PostgreSQL from 15 on; $PG_CONFIG wins.
find_pg_config()
{
	if [ -n "${PG_CONFIG:-}" ]; then
		echo "$PG_CONFIG"
		return
	fi
	best=0
	chosen=
	for candidate in /usr/lib/postgresql/*/bin/pg_config "$(command -v pg_config)"; do
		if [ ! -x "$candidate" ] || [ ! -e "$("$candidate" --pgxs)" ]; then
			continue
		fi
		version=$("$candidate" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
		if [ "$version" -ge 15 ] && [ "$version" -gt "$best" ]; then
			best=$version
			chosen=$candidate
		fi
	done
	if [ -z "$chosen" ]; then
		echo "no PostgreSQL from 15 on with its server headers was found" >&2
		return 1
	fi
	echo "$chosen"
}

# own_server_tree DIR: a PostgreSQL tree in DIR/pg to install into and to change. Programs are copied, since they find
# their files from their own place; the rest is linked. Sets bin, lib and share.
own_server_tree()
{
	from=$(find_pg_config)
	from_bin=$("$from" --bindir)
	from_lib=$("$from" --pkglibdir)
	from_share=$("$from" --sharedir)
	from_locale=$("$from" --localedir)
	base=$from_bin
	while case $from_share/ in "$base"/*) false ;; *) true ;; esac; do
		base=$(dirname "$base")
	done
	bin=$1/pg${from_bin#"$base"}
	lib=$1/pg${from_lib#"$base"}
	share=$1/pg${from_share#"$base"}
	mkdir -p "$bin" "$lib" "$share/extension"
	cp "$from_bin"/* "$bin"
	ln -s "$base/include" "$1/pg/include"
	ln -s "$from_lib"/* "$lib"
	for file in "$from_share"/*; do
		[ "$file" = "$from_share/extension" ] || [ "$file" = "$from_locale" ] || ln -s "$file" "$share"
	done
	ln -s "$from_share"/extension/* "$share/extension"
	# the server's own translations; ours are installed beside them
	for file in "$from_locale"/*/LC_MESSAGES/*-"$("$from" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')".mo; do
		case $file in "$from_locale"/[*]*) continue ;; "$base"/*) ;; *) break ;; esac
		place=$1/pg${file#"$base"}
		mkdir -p "$(dirname "$place")"
		ln -s "$file" "$place"
	done
	rm -rf "$lib"/apigouv_fdw* "$lib/bitcode" "$share"/extension/apigouv_fdw*
}

# copy_project DIR: the project without what is built.
copy_project()
{
	mkdir "$1"
	(cd "$root" && tar cf - --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude=__pycache__ \
		--exclude=./.build-stamp .) | (cd "$1" && tar xf -)
}
