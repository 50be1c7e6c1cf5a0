# Translation of messages; PGXS reads this if the server was built with it, and po/LINGUAS from 16 on
CATALOG_NAME = apigouv_fdw
AVAIL_LANGUAGES = $(shell cat po/LINGUAS)

# po/hints.c and po/refusals.c are made by po/update: hints of the API definitions, errors in SQL scripts
GETTEXT_FILES = $(sort $(wildcard src/*.[ch])) $(wildcard po/hints.c po/refusals.c)
GETTEXT_TRIGGERS = $(BACKEND_COMMON_GETTEXT_TRIGGERS) \
	GUC_check_errmsg GUC_check_errdetail GUC_check_errhint \
	gettext_noop ngettext:1,2 apigouv_field_error:3
GETTEXT_FLAGS = $(BACKEND_COMMON_GETTEXT_FLAGS) \
	GUC_check_errmsg:1:c-format GUC_check_errdetail:1:c-format GUC_check_errhint:1:c-format \
	gettext_noop:1:pass-c-format ngettext:1:pass-c-format ngettext:2:pass-c-format \
	apigouv_field_error:3:c-format

# Without msgfmt all but the translations is built
ifeq (,$(shell command -v '$(MSGFMT)'))
ifeq (,$(filter clean distclean uninstall,$(MAKECMDGOALS)))
$(warning msgfmt (package gettext) is missing: messages will be in English only)
WANTED_LANGUAGES = none
endif
endif
