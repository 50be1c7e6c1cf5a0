# apigouv_fdw: French public-sector APIs as PostgreSQL foreign tables
EXTENSION = apigouv_fdw
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" apigouv_fdw.control)
MODULE_big = apigouv_fdw

OBJS = \
	$(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

DATA = $(wildcard sql/apigouv_fdw--*.sql)
DOCS = doc/reference.md

# REGRESS is listed by hand: sql/ also holds the install scripts
REGRESS =
TAP_TESTS = 1

PG_CPPFLAGS = -DAPIGOUV_VERSION='"$(EXTVERSION)"'
# the server's own headers do not pass -Wextra
PG_CFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server) \
	-Wall -Wextra -Werror -Wno-unused-parameter
SHLIB_LINK = -lcurl -ljansson

PG_CONFIG = pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# API definitions: NAME.json, NAME/TABLE.json, shared/*.json
APIDIR = $(DESTDIR)$(datadir)/extension/$(EXTENSION)
APIFILES = $(patsubst apis/%,%,$(wildcard apis/*.json apis/*/*.json))

install: install-apis
uninstall: uninstall-apis

.PHONY: install-apis uninstall-apis
install-apis:
	for f in $(filter-out schema/%,$(APIFILES)); do \
		$(MKDIR_P) "$(APIDIR)/$$(dirname $$f)" && \
		$(INSTALL_DATA) "apis/$$f" "$(APIDIR)/$$f" || exit 1; \
	done
uninstall-apis:
	rm -rf "$(APIDIR)"
