#!/usr/bin/python3
"""SQLAlchemy with psycopg2, as Superset uses them: reflection, previews, queries with parameters, a cursor of the
server, a cancel. Run by test/clients/run."""

import logging
import os
import sys

import sqlalchemy
from sqlalchemy import bindparam, func, select, text

import tap
from tap import equal, ok

ENGINE = sqlalchemy.create_engine(sqlalchemy.engine.URL.create(
    "postgresql+psycopg2", **{name: os.environ["CLIENT_" + name.upper()] for name in ("host", "database")},
    port=int(os.environ["CLIENT_PORT"]), username=os.environ["CLIENT_USER"], password=os.environ["CLIENT_PASSWORD"]))


def reflected(name, schema):
    """A table as reflection gives it."""
    return sqlalchemy.Table(name, sqlalchemy.MetaData(), schema=schema, autoload_with=ENGINE)


def told():
    """The list that gets what the server tells from now on: SQLAlchemy hands it to the log, and nobody else."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    log = logging.getLogger("sqlalchemy.dialects.postgresql")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    return messages


def lists():
    """The lists and forms that a tool draws, which may not ask anything."""
    tap.reset()
    inspector = sqlalchemy.inspect(ENGINE)
    ok({"marche_inclusion", "entreprise", "vues"} <= set(inspector.get_schema_names()), "schemas",
       inspector.get_schema_names())
    equal(inspector.get_table_names("marche_inclusion"), [], "foreign tables are not among the tables")
    foreign = inspector.get_foreign_table_names("marche_inclusion")
    ok("structures" in foreign, "but are a list of their own, which Superset adds", foreign)
    equal(sorted(inspector.get_view_names("vues")), sorted(foreign), "a companion view for each of them")
    for schema in ("marche_inclusion", "vues"):
        comment = inspector.get_table_comment("structures", schema)["text"]
        ok(comment and "structures" in comment.lower(), f"comment of {schema}.structures", comment)
        columns = {column["name"]: column for column in inspector.get_columns("structures", schema)}
        ok("SIRET" in (columns["siret"]["comment"] or ""), f"comment of {schema}.structures.siret",
           columns["siret"]["comment"])
        types = [type(columns[name]["type"]).__name__ for name in ("id", "name", "is_active", "created_at", "sectors",
                                                                    "sectors_slugs")]
        equal(types, ["INTEGER", "TEXT", "BOOLEAN", "TIMESTAMP", "JSONB", "ARRAY"], f"types of {schema}.structures")
        equal((inspector.get_pk_constraint("structures", schema)["constrained_columns"],
               inspector.get_foreign_keys("structures", schema), inspector.get_indexes("structures", schema)),
              ([], [], []), f"no keys nor indexes of {schema}.structures")
    equal(tap.received(), [], "lists ask nothing")


def reads(schema, token):
    """Rows and values, by parameters; the token is the tool's own, or that of who owns the view."""
    structures = reflected("structures", schema)
    with ENGINE.connect() as connection:
        tap.reset()
        rows = connection.execute(
            select(structures).where(structures.c.siret == bindparam("siret")).order_by(structures.c.id),
            {"siret": tap.SIRET}).mappings().all()
        equal([(row["id"], row["name"], row["is_active"]) for row in rows],
              [(1001, "Ateliers du Phare", True), (1002, "Ateliers du Phare", True)], f"{schema}: rows")
        ok(isinstance(rows[0]["sectors"], list) and isinstance(rows[0]["sectors_slugs"], list)
           and rows[0]["created_at"].tzinfo is not None, f"{schema}: JSON, arrays and times are Python's", rows[0])
        asked = tap.received()
        ok(asked and all(tap.SIRET in one for one in asked), f"{schema}: the condition is sent", asked)
        equal(tap.tokens(), {token}, f"{schema}: whose token is sent")
        tap.reset()
        count = connection.execute(select(func.count()).select_from(structures).where(
            structures.c.kind.in_(["EI"]))).scalar()
        asked = tap.received()
        ok(count > 100 and len(asked) == 1 and "kind=EI" in asked[0], f"{schema}: a chart's count with its filter",
           count, asked)


def probes():
    """What a tool asks that does not know the keys."""
    with ENGINE.connect() as connection:
        tap.reset()
        notices = told()
        siege = reflected("entreprise_siege_social", "entreprise")
        equal(connection.execute(select(siege).limit(101)).all(), [], "a preview of a table that needs a key is empty")
        ok(any('key column "siren" has no value' in notice for notice in notices), "with a warning in the tool's log",
           notices)
        equal(tap.received(), [], "and asks nothing")
        wrapped = text("SELECT * FROM (SELECT siren, siret FROM entreprise.entreprise_siege_social) AS virtual_table"
                       " LIMIT 1000")
        equal(connection.execute(wrapped).all(), [], "so is a query that the tool wraps")
        equal(connection.execute(text("SELECT * FROM marche_inclusion.structures WHERE false")).all(), [],
              "columns of a query that gives no row")
        equal(tap.received(), [], "ask nothing either")
        try:
            connection.execute(select(func.count()).select_from(siege)).scalar()
            ok(False, "a count without a key is no 0, but an error")
        except sqlalchemy.exc.DBAPIError as error:
            ok(error.orig.diag.sqlstate == "HV002" and "siren" in error.orig.diag.message_hint,
               "a count without a key is no 0, but an error", error.orig)
        tap.reset()
    with ENGINE.connect() as connection:
        equal(len(connection.execute(select(reflected("structures", "vues")).limit(5)).all()), 5,
              "a preview of a table that can be listed")
        asked = tap.received()
        ok(len(asked) == 1 and "limit=5" in asked[0], "asks the API for as many rows", asked)
        tap.reset()
        row = connection.execute(select(siege.c.siret).where(siege.c.siren == "000003012")).scalar()
        asked = tap.received()
        equal(row, "00000301200010", "with its key, the table gives its row")
        ok(len(asked) == 1 and "context=Tableaux de bord" in asked[0] and "object=Suivi 2026" in asked[0],
           "asked for the purpose that the role has", asked)


def streams():
    """A cursor of the server (DECLARE) asks for what is fetched."""
    sirens = ["000003012", "000003020", "000003038", "000003061", "000003079", "000003095", "000003111"]
    siege = reflected("entreprise_siege_social", "entreprise")
    with ENGINE.connect().execution_options(stream_results=True, max_row_buffer=1) as connection:
        tap.reset()
        result = connection.execute(select(siege.c.siren).where(siege.c.siren.in_(sirens)))
        got = [result.fetchone()[0]]
        asked = len(tap.received())
        ok(0 < asked < len(sirens), "a cursor's first row asks for a part of the keys only", asked)
        got += [row[0] for row in result]
        equal((sorted(got), len(tap.received())), (sirens, len(sirens)), "all rows, each key once")


def cancels():
    """A cancel from another thread, and statement_timeout."""
    with ENGINE.connect() as connection:
        driver = connection.connection.dbapi_connection
        query = text("SELECT name FROM vues.structures WHERE siret = :siret")
        seconds, error = tap.seconds_to_cancel(lambda: connection.execute(query, {"siret": tap.SIRET}), driver.cancel)
        ok(error is not None and error.orig.pgcode == "57014", "a cancel ends a query that waits for the API", error)
        ok(seconds < tap.TIME_TO_END, "at once", seconds)
        print(f"# cancelled in {seconds * 1000:.1f} ms")
    with ENGINE.connect() as connection:
        equal(len(connection.execute(query, {"siret": tap.SIRET}).all()), 2, "the connection goes on")
    # Superset ends the session of a query that is stopped
    with ENGINE.connect() as connection, ENGINE.connect() as other:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        seconds, error = tap.seconds_to_cancel(
            lambda: connection.execute(query, {"siret": tap.SIRET}),
            lambda: other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid}))
        ok(error is not None and error.connection_invalidated, "pg_terminate_backend by the same role ends the session",
           error)
        ok(seconds < tap.TIME_TO_END, "at once, too", seconds)
    with ENGINE.connect() as connection:
        equal(len(connection.execute(query, {"siret": tap.SIRET}).all()), 2, "and the pool gives another one")
        tap.stalled()
        connection.execute(text("SET statement_timeout = '300ms'"))
        try:
            connection.execute(query, {"siret": "00000302000013"}).all()
            ok(False, "statement_timeout")
        except sqlalchemy.exc.DBAPIError as error:
            equal(error.orig.pgcode, "57014", "statement_timeout")
        tap.reset()


lists()
reads("marche_inclusion", "marche_inclusion_autre")
reads("vues", "marche_inclusion")
probes()
streams()
cancels()
sys.exit(tap.ended())
