"""An object read, dropped and made again from its text is the same for pg_dump."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from sqlalchemy import URL, Connection

from alembic_pgpipe.objects.definitions import Definition, read_definitions
from alembic_pgpipe.objects.held import DatabaseObject, Kind, read_objects
from alembic_pgpipe.scratch.server import ScratchServer
from tests.histories import Dump, dump_for


@pytest.fixture
def role(connection: Connection) -> Iterator[str]:
    """Give a role of the test's own, whose name needs quotes."""
    name = f'"Team {uuid4().hex[:8]}"'
    run(connection, f"CREATE ROLE {name}")
    yield name
    run(connection, f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def dump(scratch: ScratchServer) -> Dump:
    return dump_for(scratch)


def run(connection: Connection, text: str) -> None:
    connection.execution_options(no_parameters=True).exec_driver_sql(text)


@dataclass(frozen=True)
class Case:
    """Scenery that stays, and one object that is dropped and made again."""

    name: str
    text: str
    scenery: str = ""


TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.t (id integer PRIMARY KEY, name text NOT NULL, at timestamptz);
CREATE VIEW app.seen AS SELECT id, name FROM app.t;
CREATE FUNCTION app.changed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION app.told() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
"""
PARTITIONS = """
CREATE TABLE app.p (id integer) PARTITION BY RANGE (id);
CREATE TABLE app.p1 PARTITION OF app.p FOR VALUES FROM (0) TO (9);
CREATE TABLE app.p2 PARTITION OF app.p FOR VALUES FROM (10) TO (19);
"""
STATES = """
CREATE FUNCTION app.plus(bigint, integer) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT $1 + $2';
CREATE FUNCTION app.minus(bigint, integer) RETURNS bigint LANGUAGE sql IMMUTABLE
AS 'SELECT $1 - $2';
CREATE FUNCTION app.both(bigint, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
AS 'SELECT $1 + $2';
CREATE FUNCTION app.final(bigint, integer) RETURNS text LANGUAGE sql IMMUTABLE
AS 'SELECT $1::text';
CREATE FUNCTION app.pushed(internal, anyelement) RETURNS internal LANGUAGE internal IMMUTABLE
AS 'ordered_set_transition';
CREATE FUNCTION app."pushed many"(internal, VARIADIC "any") RETURNS internal
LANGUAGE internal IMMUTABLE AS 'ordered_set_transition_multi';
CREATE FUNCTION app.ranked(internal, VARIADIC "any") RETURNS bigint
LANGUAGE internal IMMUTABLE AS 'hypothetical_rank_final';
"""
CASES = (
    Case(
        "arguments of every mode",
        """CREATE FUNCTION app.f(a integer, INOUT b text DEFAULT 'it''s', OUT c numeric(5, 2),
        VARIADIC d timestamptz[] DEFAULT ARRAY['2020-01-01'::timestamptz])
        LANGUAGE plpgsql STABLE STRICT LEAKPROOF PARALLEL SAFE COST 7 SECURITY DEFINER
        SET search_path TO app, "$user" SET work_mem TO '1MB'
        AS $x$BEGIN c := 100 % 3; END$x$""",
    ),
    Case(
        "a table is returned",
        """CREATE FUNCTION app.f(app.t) RETURNS TABLE (id integer, "Full Name" text)
        LANGUAGE sql ROWS 3 AS $$SELECT $1.id, '$function$ $ \\ % :x'$$""",
    ),
    Case(
        "a standard body",
        """CREATE FUNCTION app.f(n integer) RETURNS SETOF app.t
        BEGIN ATOMIC SELECT * FROM app.t WHERE id > n; SELECT * FROM app.t LIMIT 1; END""",
    ),
    Case(
        "quoted names",
        """CREATE FUNCTION "app"."Ünder ""Q"" f"("A b" "char") RETURNS "char"
        LANGUAGE sql AS 'SELECT $1'""",
    ),
    Case(
        "a procedure",
        """CREATE PROCEDURE app.p(a integer, OUT b integer, INOUT c text)
        LANGUAGE plpgsql AS 'BEGIN b := a; END'""",
    ),
    Case(
        "a simple aggregate",
        """CREATE AGGREGATE app.g(integer) (
        SFUNC = app.plus, STYPE = bigint, SORTOP = OPERATOR(pg_catalog.<))""",
        STATES,
    ),
    Case(
        "an aggregate of nothing",
        """CREATE AGGREGATE app.g(*) (
        SFUNC = pg_catalog.int8inc, STYPE = bigint, INITCOND = '0')""",
        STATES,
    ),
    Case(
        "an aggregate with every part",
        """CREATE AGGREGATE app."G"(n integer) (
        SFUNC = app.plus, STYPE = bigint, SSPACE = 16, FINALFUNC = app.final, FINALFUNC_EXTRA,
        FINALFUNC_MODIFY = SHAREABLE, COMBINEFUNC = app.both, INITCOND = '0',
        MSFUNC = app.plus, MINVFUNC = app.minus, MSTYPE = bigint, MSSPACE = 24,
        MFINALFUNC = app.final, MFINALFUNC_EXTRA, MFINALFUNC_MODIFY = READ_WRITE,
        MINITCOND = '0', PARALLEL = SAFE)""",
        STATES,
    ),
    Case(
        "an aggregate with a serialised state",
        """CREATE AGGREGATE app.g(numeric) (
        SFUNC = numeric_avg_accum, STYPE = internal, FINALFUNC = numeric_avg,
        COMBINEFUNC = numeric_avg_combine, SERIALFUNC = numeric_avg_serialize,
        DESERIALFUNC = numeric_avg_deserialize, PARALLEL = RESTRICTED)""",
    ),
    Case(
        "an ordered-set aggregate",
        """CREATE AGGREGATE app.g(part float8 ORDER BY anyelement) (
        SFUNC = app.pushed, STYPE = internal, FINALFUNC = percentile_disc_final,
        FINALFUNC_EXTRA, FINALFUNC_MODIFY = READ_ONLY)""",
        STATES,
    ),
    Case(
        "a hypothetical-set aggregate",
        """CREATE AGGREGATE app.g(VARIADIC "any" ORDER BY
        VARIADIC "any") (SFUNC = app."pushed many", STYPE = internal, FINALFUNC = app.ranked,
        FINALFUNC_EXTRA, HYPOTHETICAL)""",
        STATES,
    ),
    Case(
        "a view with options",
        """CREATE VIEW app.v WITH (security_barrier, check_option = local)
        AS SELECT id, name AS "Name" FROM app.t WHERE name LIKE 'a%'""",
    ),
    Case(
        "a view of columns without names",
        """CREATE VIEW app.v AS SELECT 1, 2 AS "select",
        '2020-01-01 10:00+02'::timestamptz AS at, '1 day 2 hours'::interval AS step""",
    ),
    Case(
        "a view with a default and rules",
        """CREATE VIEW app.v AS SELECT id, name FROM app.t
        WITH CASCADED CHECK OPTION;
        ALTER VIEW app.v ALTER COLUMN name SET DEFAULT 'x';
        CREATE RULE "Put" AS ON INSERT TO app.v DO INSTEAD
        INSERT INTO app.t VALUES (NEW.id, 'a');
        CREATE RULE off AS ON DELETE TO app.v DO INSTEAD NOTHING;
        COMMENT ON RULE off ON app.v IS 'none go'""",
    ),
    Case(
        "a recursive view",
        """CREATE RECURSIVE VIEW app.v (n) AS
        VALUES (1) UNION ALL SELECT n + 1 FROM v WHERE n < 9""",
    ),
    Case(
        "a materialized view with indexes",
        """CREATE MATERIALIZED VIEW app.m
        WITH (fillfactor = 70) AS SELECT id, name FROM app.t;
        CREATE UNIQUE INDEX "By id" ON app.m (id);
        CREATE INDEX ON app.m USING gin (to_tsvector('english', name)) WHERE id > 3;
        CREATE STATISTICS app.s (dependencies) ON id, name FROM app.m;
        ALTER MATERIALIZED VIEW app.m ALTER COLUMN name SET STATISTICS 9;
        ALTER MATERIALIZED VIEW app.m ALTER COLUMN name SET STORAGE EXTERNAL;
        ALTER MATERIALIZED VIEW app.m CLUSTER ON "By id";
        COMMENT ON INDEX app."By id" IS 'first'; COMMENT ON COLUMN app.m.id IS 'it''s'""",
    ),
    Case(
        "a materialized view without data",
        "CREATE MATERIALIZED VIEW app.m AS SELECT id FROM app.t WITH NO DATA",
    ),
    Case(
        "a trigger with everything",
        """CREATE TRIGGER "Tr g" AFTER UPDATE ON app.t
        REFERENCING OLD TABLE AS was NEW TABLE AS is_now FOR EACH STATEMENT
        EXECUTE FUNCTION app.changed('a', 'it''s')""",
    ),
    Case(
        "a trigger of some columns",
        """CREATE TRIGGER g AFTER UPDATE OF name, at OR DELETE OR TRUNCATE ON app.t
        EXECUTE FUNCTION app.changed()""",
    ),
    Case(
        "a trigger that is off",
        """CREATE TRIGGER g BEFORE INSERT ON app.t FOR EACH ROW
        WHEN (NEW.id > 0) EXECUTE FUNCTION app.changed();
        ALTER TABLE app.t DISABLE TRIGGER g""",
    ),
    Case(
        "a trigger that is always on",
        """CREATE TRIGGER g BEFORE INSERT ON app.t FOR EACH ROW
        EXECUTE FUNCTION app.changed(); ALTER TABLE app.t ENABLE ALWAYS TRIGGER g""",
    ),
    Case(
        "a constraint trigger",
        """CREATE CONSTRAINT TRIGGER g AFTER INSERT ON app.t
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.changed()""",
    ),
    Case(
        "a trigger of a view",
        """CREATE TRIGGER g INSTEAD OF INSERT ON app.seen FOR EACH ROW
        EXECUTE FUNCTION app.changed()""",
    ),
    Case(
        "a trigger that a partition has off",
        """CREATE TRIGGER g AFTER INSERT ON app.p
        FOR EACH ROW EXECUTE FUNCTION app.changed();
        ALTER TABLE app.p2 DISABLE TRIGGER g""",
        PARTITIONS,
    ),
    Case("a policy", "CREATE POLICY g ON app.t"),
    Case(
        "a policy with everything",
        """CREATE POLICY "All of it" ON app.t AS RESTRICTIVE
        FOR UPDATE TO {role}, CURRENT_USER USING (name = 'a') WITH CHECK (id > 3)""",
    ),
    Case(
        "an event trigger",
        """CREATE EVENT TRIGGER "E t" ON ddl_command_end
        WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION app.told();
        ALTER EVENT TRIGGER "E t" DISABLE""",
    ),
    Case(
        "a domain with everything",
        """CREATE DOMAIN app.d AS varchar(9) COLLATE "C"
        DEFAULT 'a' || 'b' NOT NULL CONSTRAINT "not b" CHECK (VALUE <> 'b')
        CHECK (VALUE <> 'it''s');
        ALTER DOMAIN app.d ADD CONSTRAINT new CHECK (VALUE <> 'c') NOT VALID;
        COMMENT ON CONSTRAINT "not b" ON DOMAIN app.d IS 'why'""",
    ),
    Case(
        "a domain over another",
        "CREATE DOMAIN app.d AS app.base[] CHECK (VALUE[1] > 0)",
        "CREATE DOMAIN app.base AS integer",
    ),
    Case(
        "privileges of a function",
        """CREATE FUNCTION app.f() RETURNS integer LANGUAGE sql
        AS 'SELECT 1'; REVOKE ALL ON FUNCTION app.f() FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.f() TO {role} WITH GRANT OPTION;
        ALTER FUNCTION app.f() OWNER TO {role}; COMMENT ON FUNCTION app.f() IS E'a\\\\b''c'""",
    ),
    Case(
        "privileges of an aggregate",
        """CREATE AGGREGATE app.g(*) (SFUNC = int8inc,
        STYPE = bigint, INITCOND = '0'); REVOKE ALL ON FUNCTION app.g() FROM PUBLIC;
        ALTER AGGREGATE app.g(*) OWNER TO {role}; COMMENT ON AGGREGATE app.g(*) IS 'g'""",
    ),
    Case(
        "privileges of a procedure",
        """CREATE PROCEDURE app.p(OUT a text) LANGUAGE sql
        AS 'SELECT 1'; REVOKE ALL ON PROCEDURE app.p(OUT text) FROM PUBLIC, CURRENT_USER;
        COMMENT ON PROCEDURE app.p(OUT text) IS 'p'""",
    ),
    Case(
        "privileges of a view",
        """CREATE VIEW app.v AS SELECT id, name FROM app.t;
        GRANT SELECT, INSERT ON app.v TO {role}; GRANT SELECT ON app.v TO PUBLIC;
        GRANT UPDATE (name), SELECT (id, name) ON app.v TO {role} WITH GRANT OPTION;
        REVOKE TRUNCATE ON app.v FROM CURRENT_USER;
        COMMENT ON VIEW app.v IS 'v'; COMMENT ON COLUMN app.v.name IS 'n'""",
    ),
    Case(
        "privileges of a column only",
        """CREATE VIEW app.v AS SELECT id FROM app.t;
        GRANT SELECT (id) ON app.v TO {role}""",
    ),
    Case(
        "all privileges of a materialized view",
        """CREATE MATERIALIZED VIEW app.m AS SELECT 1;
        GRANT ALL ON app.m TO {role}; ALTER MATERIALIZED VIEW app.m OWNER TO {role};
        COMMENT ON MATERIALIZED VIEW app.m IS 'm'""",
    ),
    Case(
        "privileges of a domain",
        """CREATE DOMAIN app.d AS integer;
        REVOKE USAGE ON TYPE app.d FROM PUBLIC; GRANT USAGE ON TYPE app.d TO {role};
        ALTER DOMAIN app.d OWNER TO {role}; COMMENT ON DOMAIN app.d IS 'd'""",
    ),
    Case(
        "comments of the others",
        """CREATE POLICY g ON app.t;
        COMMENT ON POLICY g ON app.t IS 'p'""",
    ),
    Case(
        "a comment on a trigger",
        """CREATE TRIGGER g BEFORE INSERT ON app.t FOR EACH ROW
        EXECUTE FUNCTION app.changed(); COMMENT ON TRIGGER g ON app.t IS 't'""",
    ),
    Case(
        "a comment on an event trigger",
        """CREATE EVENT TRIGGER e ON sql_drop
        EXECUTE FUNCTION app.told(); COMMENT ON EVENT TRIGGER e IS 'e'""",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_text_makes_the_same_object_again(
    connection: Connection, database: URL, dump: Dump, role: str, case: Case
) -> None:
    run(connection, TABLES + case.scenery)
    scenery = {one.address for one in read_objects(connection)}
    run(connection, case.text.replace("{role}", role))
    before = dump.whole(database)
    [made] = [one for one in read_objects(connection) if one.address not in scenery]
    text = definition(connection, made).text
    run(connection, f"DROP {made.kind.value} {made.identity}")
    assert dump.whole(database) != before
    run(connection, text)
    assert dump.whole(database) == before
    # A second reading of the same object says the same.
    [again] = [one for one in read_objects(connection) if one.identity == made.identity]
    assert definition(connection, again).text == text


REPLACED = (
    *(case for case in CASES if "privileges" in case.name and "domain" not in case.name),
    *(case for case in CASES if case.name.startswith(("an aggregate", "a view", "a trigger"))),
)


@pytest.mark.parametrize(
    "case", [c for c in REPLACED if "MATERIALIZED" not in c.text], ids=lambda case: case.name
)
def test_the_text_is_harmless_where_the_object_is_there(
    connection: Connection, database: URL, dump: Dump, role: str, case: Case
) -> None:
    run(connection, TABLES + case.scenery)
    scenery = {one.address for one in read_objects(connection)}
    run(connection, case.text.replace("{role}", role))
    before = dump.whole(database)
    [made] = [one for one in read_objects(connection) if one.address not in scenery]
    run(connection, definition(connection, made).text)
    assert dump.whole(database) == before


def test_a_session_is_left_as_it_was(connection: Connection) -> None:
    run(connection, TABLES)
    run(connection, "SET search_path TO app; SET DateStyle TO 'German'")
    [view] = [one for one in read_objects(connection) if one.kind is Kind.VIEW]
    assert "app.t" in definition(connection, view).create
    assert settings(connection) == ["app", "German, DMY"]


def test_a_transaction_is_left_as_it_was(connection: Connection) -> None:
    run(connection, TABLES)
    run(connection, "BEGIN; SET LOCAL search_path TO app; SET DateStyle TO 'German'")
    [view] = [one for one in read_objects(connection) if one.kind is Kind.VIEW]
    assert "app.t" in definition(connection, view).create
    assert settings(connection) == ["app", "German, DMY"]
    run(connection, "COMMIT")
    assert settings(connection) == ['"$user", public', "German, DMY"]


def test_the_same_object_reads_alike_in_any_session(connection: Connection) -> None:
    run(connection, TABLES)
    run(
        connection,
        "CREATE VIEW app.v AS SELECT '2020-06-01 10:00+02'::timestamptz AS a, "
        "'1 day'::interval AS b, '\\x01'::bytea AS c, 0.1::float8 AS d",
    )
    [view] = [one for one in read_objects(connection) if one.name == "v"]
    text = definition(connection, view).text
    run(
        connection,
        "SET TimeZone TO 'Asia/Tokyo'; SET DateStyle TO 'SQL, DMY'; SET search_path TO app; "
        "SET IntervalStyle TO 'iso_8601'; SET bytea_output TO 'escape'; "
        "SET extra_float_digits TO -3; SET quote_all_identifiers TO on",
    )
    assert definition(connection, view).text == text


def test_a_definition_tells_owner_grants_and_comment(connection: Connection, role: str) -> None:
    run(connection, TABLES)
    run(
        connection,
        "REVOKE ALL ON FUNCTION app.told() FROM PUBLIC; "
        f"ALTER FUNCTION app.told() OWNER TO {role};"
        "COMMENT ON FUNCTION app.told() IS 'said'",
    )
    found = {one.name: one for one in read_objects(connection)}
    told = definition(connection, found["told"])
    assert told.owner == role.strip('"')
    assert told.grants == ("REVOKE ALL ON FUNCTION app.told() FROM PUBLIC;\n",)
    assert told.comment == "said"
    assert "OWNER TO" in told.text_for("postgres")
    assert "OWNER TO" not in told.text_for(role.strip('"'))
    changed = definition(connection, found["changed"])
    assert changed.grants == ()
    assert changed.comment is None


def test_an_object_that_is_gone_has_no_definition(connection: Connection) -> None:
    run(connection, TABLES)
    [view] = [one for one in read_objects(connection) if one.kind is Kind.VIEW]
    run(connection, "DROP VIEW app.seen")
    assert read_definitions(connection, [view]) == {}


def definition(connection: Connection, found: DatabaseObject) -> Definition:
    return read_definitions(connection, [found])[found.address]


def settings(connection: Connection) -> list[str]:
    names = ("search_path", "DateStyle")
    shown = (connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names)
    return [str(value) for value in shown]
