# What catalogs hold: the objects of the extension with all that defines them,
# and every row of every catalog.
package ApigouvCatalog;

use strict;
use utf8;
use warnings;

use Exporter 'import';
use Test::More;

our @EXPORT = qw(members catalogs same_lines dumped);

# Kinds of objects whose definition members() tells whole.
my @known = qw(pg_class pg_event_trigger pg_foreign_data_wrapper pg_proc pg_type);

my $members_sql = <<'SQL';
SET search_path = '';
CREATE FUNCTION pg_temp.privileges(acl aclitem[]) RETURNS text LANGUAGE sql AS $$
	SELECT 'acl ' || coalesce((SELECT pg_catalog.string_agg(a::text, ' ' ORDER BY a::text) FROM pg_catalog.unnest(acl) AS a), 'default')
$$;
CREATE FUNCTION pg_temp.columns(relation oid) RETURNS text LANGUAGE sql AS $$
	SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', 'column', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
		a.attnotnull, a.attidentity, a.attgenerated, pg_temp.privileges(a.attacl),
		pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.col_description(relation, a.attnum)), E'\n' ORDER BY a.attnum)
	FROM pg_catalog.pg_attribute AS a LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
$$;
WITH extension AS (SELECT * FROM pg_catalog.pg_extension WHERE extname = 'apigouv_fdw'),
member AS (
	SELECT d.classid, d.objid, (SELECT relname FROM pg_catalog.pg_class WHERE oid = d.classid) AS catalog, o.type, o.identity
	FROM extension AS e, pg_catalog.pg_depend AS d, pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS o
	WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e')
SELECT pg_catalog.concat_ws(E'\n', m.type || ' ' || m.identity,
	'comment ' || pg_catalog.obj_description(m.objid, m.catalog),
	(SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', 'depends on', d.deptype,
			pg_catalog.pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)), E'\n'
			ORDER BY d.deptype, pg_catalog.pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid))
		FROM pg_catalog.pg_depend AS d WHERE d.classid = m.classid AND d.objid = m.objid AND d.deptype <> 'e'),
	(SELECT pg_catalog.string_agg('initial ' || i.objsubid || ' ' || pg_temp.privileges(i.initprivs), E'\n' ORDER BY i.objsubid)
		FROM pg_catalog.pg_init_privs AS i WHERE i.classoid = m.classid AND i.objoid = m.objid),
	(SELECT pg_catalog.concat_ws(E'\n', pg_catalog.pg_get_functiondef(p.oid), 'owner ' || p.proowner::regrole::text,
			pg_temp.privileges(p.proacl))
		FROM pg_catalog.pg_proc AS p WHERE m.catalog = 'pg_proc' AND p.oid = m.objid),
	(SELECT pg_catalog.concat_ws(E'\n', pg_catalog.concat_ws(' ', 'relation', c.relkind, c.relpersistence, c.relrowsecurity,
				c.reloptions, 'owner', c.relowner::regrole), pg_temp.privileges(c.relacl), pg_temp.columns(c.oid),
			CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END,
			(SELECT pg_catalog.string_agg(pg_catalog.pg_get_indexdef(i.indexrelid), E'\n' ORDER BY i.indexrelid::regclass::text)
				FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid),
			(SELECT pg_catalog.string_agg(k.conname || ' ' || pg_catalog.pg_get_constraintdef(k.oid), E'\n' ORDER BY k.conname)
				FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = c.oid),
			(SELECT pg_catalog.string_agg(pg_catalog.pg_get_triggerdef(t.oid), E'\n' ORDER BY t.tgname)
				FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid))
		FROM pg_catalog.pg_class AS c WHERE m.catalog = 'pg_class' AND c.oid = m.objid),
	(SELECT pg_catalog.concat_ws(E'\n', pg_catalog.concat_ws(' ', 'type', t.typtype, t.typowner::regrole), pg_temp.privileges(t.typacl),
			pg_temp.columns(t.typrelid),
			(SELECT pg_catalog.string_agg(v.enumlabel, ' ' ORDER BY v.enumsortorder) FROM pg_catalog.pg_enum AS v WHERE v.enumtypid = t.oid))
		FROM pg_catalog.pg_type AS t WHERE m.catalog = 'pg_type' AND t.oid = m.objid),
	(SELECT pg_catalog.concat_ws(' ', t.evtevent, t.evtenabled, t.evtfoid::regprocedure, t.evttags, t.evtowner::regrole)
		FROM pg_catalog.pg_event_trigger AS t WHERE m.catalog = 'pg_event_trigger' AND t.oid = m.objid),
	(SELECT pg_catalog.concat_ws(' ', w.fdwhandler::regproc, w.fdwvalidator::regproc, w.fdwoptions, w.fdwowner::regrole,
			pg_temp.privileges(w.fdwacl))
		FROM pg_catalog.pg_foreign_data_wrapper AS w WHERE m.catalog = 'pg_foreign_data_wrapper' AND w.oid = m.objid),
	CASE WHEN NOT m.catalog = ANY ('{KNOWN}') THEN 'not compared: ' || m.catalog END, '')
FROM member AS m
UNION ALL SELECT pg_catalog.concat_ws(' ', 'extension', extversion, extnamespace::regnamespace, extrelocatable, extowner::regrole,
	extconfig::regclass[], extcondition) FROM extension
ORDER BY 1;
SQL

# The objects of the extension in a database, with all that defines them, as
# lines of text.
sub members
{
	my ($node, $db) = @_;
	my $sql = $members_sql;
	my $known = join ',', @known;
	$sql =~ s/KNOWN/$known/;
	return $node->safe_psql($db, $sql);
}

# Every row of every catalog, as lines; but for statistics, and for what
# VACUUM, ANALYZE and the age of transactions change.
sub catalogs
{
	my ($node, $db) = @_;
	return $node->safe_psql($db, <<'SQL');
SELECT format($$SELECT %L, to_jsonb(t)
	- '{relpages,reltuples,relallvisible,relallfrozen,relfrozenxid,relminmxid,datfrozenxid,datminmxid}'::text[]
	FROM pg_catalog.%I AS t ORDER BY 2$$, relname, relname)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'pg_catalog'::regnamespace AND relname !~ '^pg_statistic'
ORDER BY relname \gexec
SQL
}

# Two texts are equal; where not, the lines that only one has are shown.
sub same_lines
{
	my ($is, $should, $name) = @_;
	my %count;
	$count{$_}++ for split /\n/, $is;
	$count{$_}-- for split /\n/, $should;
	my @different = sort grep { $count{$_} } keys %count;
	splice @different, 40 if @different > 40;
	return ok($is eq $should && $should ne '', $name)
	  || diag(map { ($count{$_} > 0 ? 'too much: ' : 'missing: ') . "$_\n" } @different);
}

# What pg_dump tells of a database: all of it, the data too.
sub dumped
{
	my ($node, $db, @options) = @_;
	my $file = $node->basedir . '/dumped.sql';
	PostgreSQL::Test::Utils::system_or_bail($node->installed_command('pg_dump'), '-d', $node->connstr($db), '-f', $file, @options);
	# a word drawn at random for each dump
	return join '', grep { !/^\\(?:un)?restrict / } split /^/, PostgreSQL::Test::Utils::slurp_file($file);
}

1;
