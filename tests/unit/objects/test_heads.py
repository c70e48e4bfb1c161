"""Which object a statement creates."""

from __future__ import annotations

import pytest

from alembic_pgpipe.objects.heads import heads
from alembic_pgpipe.objects.held import Address, DatabaseObject, Kind
from alembic_pgpipe.source.reader import read_statements


def an_object(
    kind: Kind, schema: str | None, name: str, identity: str, relation: str | None = None
) -> DatabaseObject:
    return DatabaseObject(Address(1, 1), kind, schema, name, identity, "1", relation)


def a_function(types: str, kind: Kind = Kind.FUNCTION) -> DatabaseObject:
    return an_object(kind, "app", "f", f"app.f({types})")


def creates(text: str, found: DatabaseObject) -> bool:
    return any(head.creates(found) for _, head in heads(read_statements(text, "x.sql")))


@pytest.mark.parametrize(
    ("arguments", "types"),
    [
        ("", ""),
        ("int, b varchar(9)[]", "integer,character varying[]"),
        ("a int DEFAULT f(1, 2), OUT b text, INOUT c numeric(5, 2)", "integer,numeric"),
        ("VARIADIC \"A b\" app.t[] = '{}'", "app.t[]"),
        ("-- the first, (or not)\n a /* x */ timestamptz", "timestamp with time zone"),
        ("a double precision", "double precision"),
        ("a text DEFAULT $q$x, y)$q$, b int", "text,integer"),
        ("a pg_catalog.int4, b dec(3, 2), c bpchar", "integer,numeric,character"),
        ("a float(24), b float(25)", "real,double precision"),
        ("a interval day to second(3), b interval year[]", "interval,interval[]"),
        ("a int[3][3], b int array, c text array[4]", "integer[],integer[],text[]"),
    ],
)
def test_a_function_is_known_by_what_is_passed_in(arguments: str, types: str) -> None:
    text = f"CREATE OR REPLACE FUNCTION app.f({arguments}) RETURNS int LANGUAGE sql AS '';"
    assert creates(text, a_function(types))
    assert not creates(text, a_function("box"))
    assert not creates(text, a_function(types, Kind.PROCEDURE))


def test_the_type_of_a_column_may_be_any() -> None:
    text = "CREATE FUNCTION app.f(app.t.a%TYPE, int) RETURNS int LANGUAGE sql AS '';"
    assert creates(text, a_function("box,integer"))
    assert not creates(text, a_function("box,text"))


def test_a_name_is_folded_and_cut_as_the_server_does() -> None:
    text = "CREATE VIEW app.{} AS SELECT 1;"
    for name, kept in {"ÄB": "Äb", "n" * 70: "n" * 63, "é" * 40: "é" * 31}.items():
        assert creates(text.replace("{}", name), an_object(Kind.VIEW, "app", kept, kept))


@pytest.mark.parametrize(
    ("arguments", "types"),
    [
        ("*", "*"),
        ("integer", "integer"),
        ("part float8 ORDER BY anyelement", "double precision,anyelement"),
        ('VARIADIC "any" ORDER BY VARIADIC "any"', '"any"'),
    ],
)
def test_an_aggregate_is_known_by_its_arguments(arguments: str, types: str) -> None:
    text = f"CREATE AGGREGATE app.f({arguments}) (SFUNC = x, STYPE = int);"
    assert creates(text, a_function(types, Kind.AGGREGATE))
    assert not creates(text, a_function("box", Kind.AGGREGATE))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('CREATE VIEW App."V" AS SELECT 1', an_object(Kind.VIEW, "app", "V", 'app."V"')),
        ("create temp recursive view v (n) as select 1", an_object(Kind.VIEW, "app", "v", "v")),
        (
            "CREATE MATERIALIZED  VIEW IF NOT EXISTS m AS SELECT 1",
            an_object(Kind.MATERIALIZED_VIEW, "app", "m", "m"),
        ),
        (
            "CREATE CONSTRAINT TRIGGER g AFTER UPDATE OF a, b ON app.t EXECUTE FUNCTION f()",
            an_object(Kind.TRIGGER, "app", "g", "g ON app.t", "t"),
        ),
        ('CREATE POLICY "P" ON t', an_object(Kind.POLICY, "app", "P", '"P" ON app.t', "t")),
        ("CREATE EVENT TRIGGER e ON sql_drop", an_object(Kind.EVENT_TRIGGER, None, "e", "e")),
        ("CREATE DOMAIN app.d AS int", an_object(Kind.DOMAIN, "app", "d", "app.d")),
    ],
)
def test_other_kinds_are_known_by_their_names(text: str, found: DatabaseObject) -> None:
    assert creates(text, found)


def test_names_and_schemas_must_agree() -> None:
    view = an_object(Kind.VIEW, "app", "v", "app.v")
    assert not creates("CREATE VIEW other.v AS SELECT 1", view)
    assert not creates("CREATE VIEW app.w AS SELECT 1", view)
    trigger = an_object(Kind.TRIGGER, "app", "g", "g ON app.t", "t")
    assert not creates("CREATE TRIGGER g AFTER INSERT ON app.s EXECUTE FUNCTION f()", trigger)


def test_what_only_looks_like_a_head_is_none() -> None:
    text = "CREATE TABLE v (a int); SELECT 'CREATE VIEW v AS SELECT 1'; CREATE VIEWS;"
    assert not creates(text, an_object(Kind.VIEW, "app", "v", "app.v"))
