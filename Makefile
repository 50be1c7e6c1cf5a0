# apigouv_fdw: French public-sector APIs as PostgreSQL foreign tables
EXTENSION = apigouv_fdw
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" apigouv_fdw.control)
MODULE_big = apigouv_fdw

OBJS = $(patsubst %,src/%.o, \
	admit advance ahead analyze apidef apidef_column apidef_document \
	apidef_field apidef_read apidef_request apidef_rows apigouv_fdw ask \
	async attempt attempt_failure audit binding bound budget cache_purge \
	catalogue check_request check_server clock comment cost ddl document \
	egress encoding explain failure fetch flight functions header http \
	import json kept ledger limit lookup_clause lookup_join lookup_scan \
	mapped option origin page pivot plan plan_node prefetch probe progress \
	qual quota quota_view redact refusal reply reply_body request route \
	rowstream rowvalue scan send shared_cache shared_name spent spill stats \
	steps tally task token token_file token_view total tuple unnest upper \
	url value wanted xact_cache)

DATA = $(wildcard sql/apigouv_fdw--*.sql)
DOCS = doc/reference.md doc/audit.md doc/register.md

# REGRESS is listed by hand: sql/ also holds the install scripts
REGRESS = options import definitions functions quals quals_arrays quals_local quals_keys \
	quals_casts prepared region routes auth key_types personal personal_conditions union \
	union_restrict purpose inputs limits tensions paging paging_changes nested pivot rescan joins \
	explain types documents catalogue catalogue_plans comments structures_inclusion travail \
	travail_caracteristiques travail_listes entreprise lookup_join lookup_ahead crossover count \
	analyze limit_hints tokens token_files refresh companion_views missing_key explain_formats \
	monitoring
TAP_TESTS = 1

PG_CPPFLAGS = -DAPIGOUV_VERSION='"$(EXTVERSION)"'
# the server's own headers do not pass -Wextra
PG_CFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server) \
	-Wall -Wextra -Werror -Wno-unused-parameter
ifneq ($(findstring clang,$(CC)),)
# the server's flags are those of the compiler that built it
PG_CFLAGS += -Wno-ignored-optimization-argument -Wno-unknown-warning-option
endif
# its own functions are bound when it is built: a tenth of the time to load it,
# and no other library's functions can take their place
SHLIB_LINK = -lcurl -ljansson -Wl,-Bsymbolic

PG_CONFIG = pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS does not follow headers
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h)

# "reference.md" may be any extension's: a directory of our own
docmoduledir := extension/$(EXTENSION)

# API definitions: NAME.json, NAME/TABLE.json, shared/*.json
APIDIR = $(DESTDIR)$(datadir)/extension/$(EXTENSION)

install: install-apis
uninstall: uninstall-apis uninstall-docs

.PHONY: install-apis uninstall-apis uninstall-docs dist
install-apis:
	cd apis && find . -name '*.json' ! -path './schema/*' \
		-exec install -D -m 644 '{}' '$(APIDIR)/{}' ';'
uninstall-apis:
	rm -rf '$(APIDIR)'
# PGXS looks for doc/reference.md, where it has installed reference.md
uninstall-docs:
	rm -rf '$(DESTDIR)$(docdir)/$(docmoduledir)'

# The archive for PGXN: the commit, whatever lies in the working tree.  Times
# in it are the commit's, and local ones, hence TZ: two archives are equal.
DISTVERSION = $(shell sed -n 's/^  "version": "\(.*\)",/\1/p' META.json)
dist:
	TZ=UTC git archive --format=zip -9 --prefix=$(EXTENSION)-$(DISTVERSION)/ \
		-o $(EXTENSION)-$(DISTVERSION).zip HEAD
