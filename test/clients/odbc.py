#!/usr/bin/python3
"""ODBC (psqlodbc), as Power BI, Excel, QlikView and LibreOffice use it: the lists of the driver, parameters, rows in
parts, cancels. Run by test/clients/run."""

import os
import sys

import pyodbc

import tap
from tap import equal, ok

pyodbc.pooling = False
DSN = ";".join(f"{name}={os.environ[variable]}" for name, variable in (
    ("Server", "CLIENT_HOST"), ("Port", "CLIENT_PORT"), ("Database", "CLIENT_DATABASE"), ("Uid", "CLIENT_USER"),
    ("Pwd", "CLIENT_PASSWORD")))


def connect(options=""):
    """A connection by the driver for Unicode, with options of its own."""
    return pyodbc.connect("Driver={PostgreSQL Unicode};" + DSN + ";" + options)


def lists(cursor):
    """SQLTables, SQLColumns and their kin, which may not ask anything."""
    tap.reset()
    schemas = {row.table_schem for row in cursor.tables(schema="%").fetchall()}
    ok({"marche_inclusion", "entreprise", "vues"} <= schemas, "SQLTables: schemas", schemas)
    tables = {row.table_name: row for row in cursor.tables(schema="marche_inclusion").fetchall()}
    equal({row.table_type for row in tables.values()}, {"FOREIGN TABLE"}, "SQLTables: foreign tables, by their type")
    views = {row.table_name: row.table_type for row in cursor.tables(schema="vues", tableType="VIEW").fetchall()}
    equal(views, dict.fromkeys(tables, "VIEW"), "a companion view for each of them")
    for schema in ("marche_inclusion", "vues"):
        columns = {row.column_name: row for row in cursor.columns(table="structures", schema=schema).fetchall()}
        equal([columns[name].type_name for name in ("id", "name", "created_at")], ["int4", "text", "timestamptz"],
              f"SQLColumns of {schema}.structures: types")
        comments = cursor.execute("SELECT obj_description(oid), col_description(oid, ?) FROM pg_class"
                                  " WHERE oid = CAST(? AS regclass)", columns["siret"].ordinal_position,
                                  f"{schema}.structures").fetchone()
        ok("structures" in (comments[0] or "").lower() and "SIRET" in (comments[1] or ""),
           f"comments of {schema}.structures, which the driver leaves out of its lists", comments)
    equal(cursor.primaryKeys(table="structures", schema="marche_inclusion").fetchall(), [], "SQLPrimaryKeys: none")
    equal(tap.received(), [], "lists ask nothing")


def reads(cursor, schema):
    """Rows by a parameter."""
    tap.reset()
    rows = cursor.execute(f"SELECT id, name, is_active, created_at FROM {schema}.structures WHERE siret = ?"
                          " ORDER BY id", tap.SIRET).fetchall()
    equal([(row.id, row.name, bool(int(row.is_active))) for row in rows],
          [(1001, "Ateliers du Phare", True), (1002, "Ateliers du Phare", True)], f"{schema}: rows")
    asked = tap.received()
    ok(len(asked) == 1 and tap.SIRET in asked[0], f"{schema}: the condition is sent", asked)
    tap.reset()
    rows = cursor.execute(f"SELECT name FROM {schema}.structures WHERE id = ?", 1002).fetchall()
    asked = tap.received()
    ok(len(rows) == 1 and len(asked) == 1 and "1002" in asked[0], f"{schema}: a number as parameter", rows, asked)


def prepared(cursor):
    """A statement that is prepared once."""
    sirens = ["000003012", "000003020", "000003038", "000003061", "000003079", "000003095", "000003111"]
    wrong = []
    for siren in sirens:
        tap.reset()
        row = cursor.execute("SELECT siret FROM entreprise.entreprise_siege_social WHERE siren = ?", siren).fetchone()
        asked = tap.received()
        if row is None or len(asked) != 1 or f"/{siren}/" not in asked[0]:
            wrong.append((siren, row, asked))
    equal(wrong, [], "each execution asks for the key that is bound, and for nothing else")


def probes(cursor):
    """What a tool asks that does not know the keys."""
    tap.reset()
    equal(cursor.execute("SELECT * FROM entreprise.entreprise_siege_social LIMIT 200").fetchall(), [],
          "a preview of a table that needs a key is empty")
    ok(any('key column "siren" has no value' in message for _, message in cursor.messages),
       "with a warning in the driver's diagnostics", cursor.messages)
    try:
        cursor.execute("SELECT count(*) FROM entreprise.entreprise_siege_social")
        ok(False, "a count without a key is no 0, but an error")
    except pyodbc.Error as error:
        ok(error.args[0] == "HV002" and 'key column "siren"' in error.args[1],
           "a count without a key is no 0, but an error", error)
    equal(tap.received(), [], "neither asks anything")


def parts():
    """Rows in parts: with UseDeclareFetch the driver declares a cursor."""
    connection = connect("UseDeclareFetch=1;Fetch=5")
    cursor = connection.cursor()
    ids = ", ".join(str(number) for number in range(1001, 1041))
    tap.reset()
    cursor.execute(f"SELECT id FROM marche_inclusion.structures WHERE id IN ({ids})")
    rows = [cursor.fetchone()]
    asked = len(tap.received())
    print(f"# UseDeclareFetch: {asked} of 40 requests before the first row")
    ok(0 < asked < 40, "the first row asks for a part of the keys only", asked)
    rows += cursor.fetchall()
    ok(len(rows) > 20 and len(tap.received()) == 40, "all rows, each key once", len(rows), len(tap.received()))
    equal(cursor.execute("SELECT siren FROM entreprise.entreprise_siege_social LIMIT 10").fetchall(), [],
          "a preview in parts is empty without a key, too")
    # in autocommit, the driver declares its cursors WITH HOLD
    connection.autocommit = True
    equal(cursor.execute("SELECT siren FROM entreprise.entreprise_siege_social LIMIT 10").fetchall(), [],
          "and out of a transaction")
    connection.close()


def cancels(connection):
    """SQLCancel from another thread, and a time-out of the tool's own."""
    cursor = connection.cursor()
    query = "SELECT name FROM vues.structures WHERE siret = ?"
    seconds, error = tap.seconds_to_cancel(lambda: cursor.execute(query, tap.SIRET), cursor.cancel)
    ok(error is not None and error.args[0] == "57014", "SQLCancel ends a query that waits for the API",
       error)
    ok(seconds < tap.TIME_TO_END, "at once", seconds)
    print(f"# cancelled in {seconds * 1000:.1f} ms: {error.args[0] if error else None}")
    connection.rollback()
    equal(len(connection.cursor().execute(query, tap.SIRET).fetchall()), 2, "the connection goes on")
    connection.rollback()
    hurried = connect("ConnSettings=SET statement_timeout = '300ms'")
    tap.stalled()
    try:
        hurried.cursor().execute(query, tap.SIRET).fetchall()
        ok(False, "statement_timeout by ConnSettings")
    except pyodbc.Error as error:
        equal(error.args[0], "57014", "statement_timeout by ConnSettings")
    tap.reset()
    hurried.close()


def main():
    """All of it, on one connection but for the parts."""
    connection = connect()
    cursor = connection.cursor()
    lists(cursor)
    reads(cursor, "marche_inclusion")
    reads(cursor, "vues")
    prepared(cursor)
    probes(cursor)
    connection.rollback()
    parts()
    cancels(connection)
    connection.close()


main()
sys.exit(tap.ended())
