"""Lines of routines: from a line of CONTEXT to a line of the file that created it."""

from __future__ import annotations

import pytest

from alembic_pgpipe.model import ServerError
from alembic_pgpipe.run.routine_lines import do_body, frames, routine_body
from alembic_pgpipe.source.reader import read_statements


def lines_of(text: str, *context: str) -> list[int | None]:
    """Return the line of ``text`` that each line of CONTEXT means, or None."""
    found = []
    for frame in frames(ServerError("no", context="\n".join(context))):
        body = routine_body(frame, read_statements(text, "f.sql"))
        found.append(body.line_of(frame) if body is not None else None)
    return found


def plpgsql(head: str) -> str:
    return f"CREATE FUNCTION {head} RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\nEND\n$$;\n"


SAME = {
    "f()": "f()",
    "shop.f(bigint)": "shop.f(id bigint)",
    "shop.f(integer)": "shop.f(int4)",
    "f(integer,text)": "public.f(a int, b text)",
    "f(character varying)": "f(name varchar(20) DEFAULT 'a, b')",
    "f(numeric)": "f(IN price decimal(8, 2) = 1)",
    "f(timestamp with time zone)": "f(at timestamptz)",
    "f(timestamp without time zone)": "f(timestamp)",
    "f(double precision)": "f(double precision)",
    "f(integer[])": "f(VARIADIC many int[])",
    "f(text)": "f(one text, OUT two text)",
    "f(shop.mood)": "f(m mood)",
    "f(mood)": "f(m shop.mood)",
    '"Shop"."F x"(bigint)': '"Shop" . "F x" (id bigint)',
    "f(integer,integer)": "F(a int DEFAULT greatest(1, 2), b int)",
}


@pytest.mark.parametrize(("called", "created"), SAME.items())
def test_a_routine_is_found_however_it_is_spelled(called: str, created: str) -> None:
    context = f"PL/pgSQL function {called} line 2 at RAISE"
    assert lines_of("SELECT 1;\n" + plpgsql(created), context) == [3]


OTHERS = {
    "f(integer)": "g(int)",
    "shop.f(integer)": "other.f(int)",
    "f(bigint)": "f(int)",
    "f(text)": "f(a text, b text)",
    'f("Mood")': "f(mood)",
    '"F"()': "f()",
    "f()": "f(a int)",
}


@pytest.mark.parametrize(("called", "created"), OTHERS.items())
def test_another_routine_is_not_taken_for_it(called: str, created: str) -> None:
    context = f"PL/pgSQL function {called} line 2 at RAISE"
    assert lines_of(plpgsql(created), context) == [None]


def test_the_last_of_several_is_the_one_that_is_there() -> None:
    text = plpgsql("f(int)") + plpgsql("f(text)") + plpgsql("f(int)")
    assert lines_of(text, "PL/pgSQL function f(integer) line 1 at RAISE") == [9]
    assert lines_of(text, "PL/pgSQL function f(text) line 1 at RAISE") == [5]


@pytest.mark.parametrize("quotes", ["$$ $$", "$b$ $b$", "' '", "E' '"])
def test_lines_count_from_the_quote_of_the_body(quotes: str) -> None:
    opening, closing = quotes.split()
    text = (
        f"CREATE OR REPLACE PROCEDURE f()\nLANGUAGE plpgsql\nAS {opening}\n\nBEGIN END{closing}"
    )
    assert lines_of(text, "PL/pgSQL function f() line 3 at assignment") == [5]


def test_a_statement_of_a_body_in_sql_is_counted_in_it() -> None:
    text = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$\nSELECT ';';\n\nSELECT 2\n$$;"
    assert lines_of(text, 'SQL function "f" statement 2') == [4]
    assert lines_of(text, 'SQL function "f" statement 3') == [None]


def test_a_body_without_quotes_has_no_line() -> None:
    text = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END;"
    assert lines_of(text, 'SQL function "f" statement 1') == [None]


def test_other_lines_of_a_context_are_passed_over() -> None:
    said = ServerError(
        "no",
        context='SQL statement "PL/pgSQL function f() line 1"\n'
        "PL/pgSQL function inline_code_block line 3 at RAISE\n"
        "COPY t, line 3",
    )
    [frame] = frames(said)
    assert frame.is_do_block
    [statement] = read_statements("\nDO LANGUAGE plpgsql\n$$\nBEGIN\nEND $$", "f.sql")
    body = do_body(statement)
    assert body is not None and body.line_of(frame) == 5
