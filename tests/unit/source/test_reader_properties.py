"""What must hold for every text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.checksum import checksum
from alembic_pgpipe.source.directives import read_directives
from alembic_pgpipe.source.reader import Reader, Statement, read_statements
from tests.psql.work import is_linear

PIECES = [
    *(
        "'",
        "''",
        "E'",
        "e'\\''",
        "\\",
        '"',
        '"x"',
        "$$",
        "$a$",
        "a$b$",
        "$1",
        "1",
        "x",
        "E",
        ";",
    ),
    *("\n", "\r", " ", "--", "/*", "*/", "/", "*", "-", "(", ")", "('a')", "B'1'", "U&'", "::"),
    *(
        "COPY t FROM STDIN;\n",
        "\\.\n",
        "\\restrict x\n",
        "BEGIN",
        "CASE",
        "END",
        "é",
        "\t",
        ".",
    ),
    *(
        "CREATE FUNCTION f() ",
        "BEGIN ATOMIC ",
        "SET standard_conforming_strings = off",
        "SELECT ",
    ),
    *(
        "-- pgpipe: role = x\n",
        "--retry\n",
        "--MSSDATABASE=x\n",
        "\x00",
        "\ufeff",
        "\U0001f600",
    ),
]
soups = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
texts = st.text(max_size=60).map(lambda text: text.replace("\0", ""))
tags = st.sampled_from(["$$", "$x$", "$é1$", "$BODY$"])
# Whole pieces that the reader must not look into.
tokens = st.one_of(
    st.sampled_from(["a", "1", ",", "+", "x.y", "now()", "(1;2)", "a$b$c", "::int", "$1"]),
    texts.map(lambda text: "'" + text.replace("'", "''") + "'"),
    texts.map(lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    texts.map(lambda text: '"' + text.replace('"', '""') + '"'),
    texts.map(lambda text: "/*" + text.replace("*", "").replace("/", "") + "*/"),
    texts.map(lambda text: "--" + text.replace("\n", "").replace("\r", "") + "\n"),
    st.tuples(tags, texts).map(lambda pair: pair[0] + pair[1].replace("$", "") + pair[0]),
)
bodies = st.lists(tokens, max_size=8).map(lambda parts: " ".join(["SELECT", *parts]))
gaps = st.sampled_from(
    ["", " ", "\n", ";", "-- c;\n", "/* ; /* ' */ */", "\r\n\t", "\n\\restrict a\n"]
)

COPY_HEAD = "COPY t FROM STDIN;"
copies = st.one_of(
    st.just("\n"),
    texts.map(lambda text: f"{COPY_HEAD} -- rows\n> {text.replace(chr(10), '')}\n\\.\n"),
)


def refusal(read: Callable[[str, str], object], text: str) -> SourceError | None:
    try:
        read(text, "f.sql")
    except SourceError as error:
        return error
    return None


def with_rows(statement: Statement) -> tuple[Statement, str]:
    rows = statement.data.read() if statement.data is not None else ""
    return statement._replace(data=None), rows


@given(soups)
def test_raises_nothing_but_source_errors(text: str) -> None:
    for read in (read_statements, read_directives):
        error = refusal(read, text)
        assert error is None or 1 <= error.line <= text.count("\n") + 1
        assert error is None or error.column >= 1
    checksum(text)


@given(soups)
def test_statements_and_gaps_make_up_the_text(text: str) -> None:
    try:
        statements = read_statements(text, "f.sql")
    except SourceError:
        return
    done = 0
    for statement in statements:
        assert done <= statement.offset
        assert text.startswith(statement.text, statement.offset)
        assert read_statements(text[done : statement.offset], "gap") == () or statement.data
        done = statement.offset + len(statement.text)
        if statement.data is not None:
            data = text.index("\n", done) + 1
            rows = statement.data.read()
            assert text.startswith(rows + "\\.", data)
            done = data + len(rows) + 2


@given(soups, st.integers(1, 9))
def test_cuts_the_same_where_the_text_comes_in_pieces(text: str, size: int) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]

    def read(text: str, path: str) -> list[tuple[Statement, str]]:
        reader = Reader(iter(pieces if text else ()), path, least=1)
        return [with_rows(statement) for statement in reader.statements()]

    whole = refusal(read_statements, text)
    error = refusal(read, text)
    assert str(error) == str(whole)
    if whole is None:
        expected = [with_rows(statement) for statement in read_statements(text, "f.sql")]
        assert read(text, "f.sql") == expected


@given(st.lists(st.tuples(gaps, bodies), max_size=6), gaps)
def test_cuts_what_was_joined(parts: list[tuple[str, str]], tail: str) -> None:
    text = "".join(f"{gap}{body}\n;" for gap, body in parts) + tail
    statements = read_statements(text, "f.sql")
    assert [s.text[s.lead :] for s in statements] == [f"{body}\n;" for _, body in parts]
    assert all(s.text.startswith("/*") for s in statements if s.lead)
    for statement in statements:
        lines = text.split("\n")
        assert lines[statement.line - 1].startswith("SELECT", statement.column - 1)


@given(st.lists(st.tuples(gaps, bodies, copies), max_size=6), gaps)
def test_cutting_then_joining_gives_back_the_text(
    parts: list[tuple[str, str, str]], tail: str
) -> None:
    text = "".join(f"{gap}{body};{copy}" for gap, body, copy in parts) + tail
    statements = read_statements(text, "f.sql")
    pieces: list[str] = []
    done = 0
    for statement in statements:
        pieces += (text[done : statement.offset], statement.text)
        done = statement.offset + len(statement.text)
        if statement.data is not None:
            rows = statement.data.read()
            pieces += (text[done : text.index("\n", done) + 1], rows)
            done += sum(map(len, pieces[-2:]))
    assert "".join((*pieces, text[done:])) == text
    assert len(statements) == len(parts) + text.count(COPY_HEAD)


QUOTES: dict[str, Callable[[str], str]] = {
    "'…'": lambda text: "'" + text.replace("'", "''") + "'",
    "E'…' doubled": lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'",
    "E'…' escaped": lambda text: "e'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
    "N'…'": lambda text: "N'" + text.replace("'", "''") + "'",
    "B'…'": lambda text: "B'" + text.replace("'", "''") + "'",
    "X'…'": lambda text: "x'" + text.replace("'", "''") + "'",
    "U&'…'": lambda text: "U&'" + text.replace("'", "''") + "'",
    "continued": lambda text: "'a'\n -- b'\n'" + text.replace("'", "''") + "'",
    '"…"': lambda text: '"' + text.replace('"', '""') + '"',
    'U&"…"': lambda text: 'u&"' + text.replace('"', '""') + '"',
    "$$…$$": lambda text: "$$" + text.replace("$", "") + "$$",
    "$tag$…$tag$": lambda text: "$é1$" + text.replace("é1", "") + "$é1$",
    "/*…*/": lambda text: "/*" + text.replace("/", "").replace("*", "") + "*/ 1",
    "--…": lambda text: "--" + text.replace("\n", "").replace("\r", "") + "\n 1",
}


@pytest.mark.parametrize("style", QUOTES)
@given(text=st.one_of(texts, soups))
def test_quoting_never_changes_the_count(style: str, text: str) -> None:
    quote = QUOTES[style](text)
    assert len(read_statements(f"SELECT 1;SELECT {quote};SELECT ({quote});", "f")) == 3


@given(st.one_of(texts, soups))
def test_copy_data_never_changes_the_count(text: str) -> None:
    data = "".join(f"> {line}\n" for line in text.split("\n"))
    first, copy, last = read_statements(
        f"SELECT 1;\nCOPY t FROM STDIN;\n{data}\\.\nSELECT 2;", "f.sql"
    )
    assert copy.data is not None
    assert (first.text, copy.data.read(), last.text) == ("SELECT 1;", data, "SELECT 2;")


@settings(max_examples=50, deadline=None)
@given(soups)
def test_twice_the_text_is_about_twice_the_work(text: str) -> None:
    assert is_linear(lambda doubled: refusal(read_statements, doubled), text)


@given(bodies)
def test_a_position_comes_back(body: str) -> None:
    text = f"\n\n  SELECT 1; {body}"
    statement = read_statements(text, "f.sql")[1]
    for at in range(len(statement.text)):
        line, column = statement.position_of(at + 1)
        before = text[: statement.offset + at]
        assert line == before.count("\n") + 1
        assert column == len(before) - before.rfind("\n")
