"""Which objects a database holds, and what depends on them."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from alembic_pgpipe.objects.dependencies import Dependant, read_dependants
from alembic_pgpipe.objects.held import DatabaseObject, Kind, read_objects

ALL_KINDS = """
CREATE SCHEMA "My App";
CREATE TABLE "My App"."T" (id integer);
CREATE DOMAIN "My App".positive AS integer CHECK (VALUE > 0);
CREATE FUNCTION "My App".f(a integer, OUT b text, INOUT "C" numeric(5, 2), VARIADIC d text[])
LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION "My App".f(text DEFAULT 'x') RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION public.g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION public.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE PROCEDURE public.p(integer, OUT text) LANGUAGE plpgsql AS 'BEGIN END';
CREATE AGGREGATE public.counted(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '0');
CREATE AGGREGATE public.disc(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition,
    STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
CREATE VIEW public."select" AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS one;
CREATE TRIGGER "Tr" BEFORE INSERT ON "My App"."T" FOR EACH ROW EXECUTE FUNCTION public.g();
CREATE POLICY "Pol" ON "My App"."T";
CREATE EVENT TRIGGER "Ev" ON sql_drop EXECUTE FUNCTION public.e();
"""
NOT_OURS = """
CREATE EXTENSION citext;
CREATE TABLE t (id integer PRIMARY KEY);
CREATE TABLE s (id integer REFERENCES t);
CREATE TYPE span AS RANGE (SUBTYPE = integer);
CREATE TEMP VIEW passing AS SELECT 1;
CREATE FUNCTION pg_temp.passing() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE TABLE p (id integer) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);
CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER own AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION own();
"""
CHAIN = """
CREATE FUNCTION base() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE TABLE t (id integer DEFAULT base(), n integer CHECK (n > base()));
CREATE INDEX i ON t ((id + base()));
CREATE FUNCTION middle() RETURNS integer BEGIN ATOMIC SELECT base(); END;
CREATE VIEW top AS SELECT middle() AS m, base() AS b;
CREATE MATERIALIZED VIEW peak AS SELECT m, 'x'::text AS note FROM top;
CREATE UNIQUE INDEX peak_m ON peak (m);
CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER put INSTEAD OF INSERT ON top FOR EACH ROW EXECUTE FUNCTION put();
CREATE POLICY seen ON t USING (id = base());
CREATE FUNCTION tops() RETURNS SETOF top LANGUAGE plpgsql AS 'BEGIN END';
"""


@pytest.fixture
def named(connection: Connection) -> dict[str, DatabaseObject]:
    connection.exec_driver_sql(CHAIN)
    return {one.identity: one for one in read_objects(connection)}


def test_objects_of_all_kinds_are_found(connection: Connection) -> None:
    connection.exec_driver_sql(ALL_KINDS)
    assert [(one.kind.value, one.identity) for one in read_objects(connection)] == [
        ("FUNCTION", '"My App".f(integer,numeric,text[])'),
        ("FUNCTION", '"My App".f(text)'),
        ("FUNCTION", "public.e()"),
        ("FUNCTION", "public.g()"),
        ("PROCEDURE", "public.p(integer)"),
        ("AGGREGATE", "public.counted(*)"),
        ("AGGREGATE", "public.disc(double precision,anyelement)"),
        ("VIEW", 'public."select"'),
        ("MATERIALIZED VIEW", "public.m"),
        ("TRIGGER", '"Tr" ON "My App"."T"'),
        ("POLICY", '"Pol" ON "My App"."T"'),
        ("EVENT TRIGGER", '"Ev"'),
        ("DOMAIN", '"My App".positive'),
    ]


def test_an_identity_is_what_drop_wants(connection: Connection) -> None:
    connection.exec_driver_sql(ALL_KINDS)
    found = read_objects(connection)
    for one in sorted(found, key=lambda one: one.kind is Kind.FUNCTION):
        connection.exec_driver_sql(f"DROP {one.kind.value} {one.identity}")
    assert read_objects(connection) == ()


def test_names_are_as_the_catalogue_has_them(connection: Connection) -> None:
    connection.exec_driver_sql(ALL_KINDS)
    names = {one.kind: (one.schema, one.name, one.relation) for one in read_objects(connection)}
    assert names[Kind.TRIGGER] == ("My App", "Tr", "T")
    assert names[Kind.POLICY] == ("My App", "Pol", "T")
    assert names[Kind.EVENT_TRIGGER] == (None, "Ev", None)
    assert names[Kind.VIEW] == ("public", "select", None)


def test_what_others_made_is_left_out(connection: Connection) -> None:
    connection.exec_driver_sql(NOT_OURS)
    assert [one.identity for one in read_objects(connection)] == [
        "public.own()",
        "own ON public.p",
    ]


CHANGES = {
    "public.g()": "COMMENT ON FUNCTION g() IS 'x'; ALTER FUNCTION g() COST 9",
    "public.counted(*)": "CREATE OR REPLACE AGGREGATE public.counted(*) "
    "(SFUNC = int8inc, STYPE = bigint, INITCOND = '5')",
    'public."select"': 'CREATE OR REPLACE VIEW "select" AS SELECT 2 AS one',
    '"Tr" ON "My App"."T"': 'ALTER TABLE "My App"."T" DISABLE TRIGGER "Tr"',
    '"Pol" ON "My App"."T"': 'ALTER POLICY "Pol" ON "My App"."T" USING (false)',
    '"Ev"': 'ALTER EVENT TRIGGER "Ev" DISABLE',
    '"My App".positive': 'ALTER DOMAIN "My App".positive ADD CHECK (VALUE < 9)',
}


@pytest.mark.parametrize("identity", CHANGES)
def test_a_version_changes_with_its_object_alone(connection: Connection, identity: str) -> None:
    connection.exec_driver_sql(ALL_KINDS)
    before = versions(connection)
    assert versions(connection) == before
    connection.exec_driver_sql(CHANGES[identity])
    after = versions(connection)
    assert {name for name in before if before[name] != after[name]} == {identity}


def test_a_version_changes_with_each_change_of_a_transaction(connection: Connection) -> None:
    seen = set()
    connection.exec_driver_sql("BEGIN")
    for number in range(3):
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT {number}'"
        )
        seen.add(versions(connection)["public.f()"])
    assert len(seen) == 3


def test_a_version_changes_with_each_state_of_a_trigger(connection: Connection) -> None:
    connection.exec_driver_sql(ALL_KINDS)
    seen = set()
    connection.exec_driver_sql("BEGIN")
    for state in ("DISABLE", "ENABLE ALWAYS", "DISABLE"):
        connection.exec_driver_sql(f'ALTER TABLE "My App"."T" {state} TRIGGER "Tr"')
        seen.add(versions(connection)['"Tr" ON "My App"."T"'])
    assert len(seen) == 3


def test_dependants_are_whole_objects_with_the_servers_words(
    connection: Connection, named: dict[str, DatabaseObject]
) -> None:
    found = read_dependants(connection, [named["public.base()"].address])
    assert {one.description for one in found} == {
        "default value for column id of table public.t",
        "constraint t_n_check on table public.t",
        "index public.i",
        "function public.middle()",
        "view public.top",
        "materialized view public.peak",
        "trigger put on view public.top",
        "policy seen on table public.t",
        "function public.tops()",
    }
    objects = {one.description: one.object for one in found}
    assert objects["view public.top"] == named["public.top"]
    assert objects["index public.i"] is None


def test_dependants_say_what_they_depend_on(
    connection: Connection, named: dict[str, DatabaseObject]
) -> None:
    found = read_dependants(connection, [named["public.middle()"].address])
    on = {one.description: one.on for one in found}
    assert on["view public.top"] == named["public.middle()"].address
    assert on["materialized view public.peak"] == named["public.top"].address
    assert on["trigger put on view public.top"] == named["public.top"].address


@pytest.mark.parametrize("identity", ["public.base()", "public.top", "public.put()"])
def test_dependants_can_be_dropped_from_the_last_to_the_first(
    connection: Connection, named: dict[str, DatabaseObject], identity: str
) -> None:
    start = named[identity]
    for one in reversed(read_dependants(connection, [start.address])):
        connection.exec_driver_sql(dropping(one))
    connection.exec_driver_sql(f"DROP {start.kind.value} {start.identity}")


def test_a_domain_is_needed_by_columns_and_what_is_made_of_them(connection: Connection) -> None:
    connection.exec_driver_sql(
        "CREATE DOMAIN d AS integer CHECK (VALUE > 0); CREATE TABLE t (a d, b integer, c d[]);"
        "CREATE VIEW of_a AS SELECT a FROM t; CREATE VIEW of_b AS SELECT b FROM t;"
    )
    [domain] = [one for one in read_objects(connection) if one.kind is Kind.DOMAIN]
    found = [one.description for one in read_dependants(connection, [domain.address])]
    assert sorted(found) == [
        "column a of table public.t",
        "column c of table public.t",
        "view public.of_a",
    ]
    assert found.index("view public.of_a") > found.index("column a of table public.t")


def test_the_parts_of_an_object_are_no_dependants(
    connection: Connection, named: dict[str, DatabaseObject]
) -> None:
    assert read_dependants(connection, [named["public.peak"].address]) == ()


def test_objects_that_need_each_other_are_all_named(connection: Connection) -> None:
    connection.exec_driver_sql(
        "CREATE TABLE t (id integer);"
        "CREATE FUNCTION f(t) RETURNS integer LANGUAGE sql AS 'SELECT 1';"
        "ALTER TABLE t ADD CHECK (f(t.*) > 0)"
    )
    [function] = read_objects(connection)
    found = read_dependants(connection, [function.address])
    assert [one.description for one in found] == ["constraint t_check on table public.t"]


def versions(connection: Connection) -> dict[str, str]:
    return {one.identity: one.version for one in read_objects(connection)}


def dropping(found: Dependant) -> str:
    if found.object is not None:
        return f"DROP {found.object.kind.value} {found.object.identity}"
    return {
        "default value for column id of table public.t": "ALTER TABLE t ALTER id DROP DEFAULT",
        "constraint t_n_check on table public.t": "ALTER TABLE t DROP CONSTRAINT t_n_check",
        "index public.i": "DROP INDEX i",
    }[found.description]
