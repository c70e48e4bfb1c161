"""Settings in the header of a source, and what its checksum leaves out."""

from __future__ import annotations

import pytest

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.checksum import Checksum, checksum, statement_hash
from alembic_pgpipe.source.directives import (
    Directives,
    Transaction,
    read_directives,
    without_header_directives,
)

READ = [
    ("", Directives()),
    ("SELECT 1;", Directives()),
    ("--retry\nSELECT 1;", Directives(retry=True)),
    ("--RETRY  \r\nSELECT 1;", Directives(retry=True)),
    ("-- Skip", Directives(skip=True)),
    ("--skip\rSELECT 1;", Directives(skip=True)),
    ("--skip it\nSELECT 1;", Directives()),
    ("\n--skip\nSELECT 1;", Directives()),
    ("-- x\n--skip\nSELECT 1;", Directives()),
    (" --skip\nSELECT 1;", Directives()),
    ("SELECT 1;\n--retry", Directives()),
    ("-- pgpipe: transaction = off\n", Directives(transaction=Transaction.OFF)),
    ("--PGPIPE:TRANSACTION=On\n", Directives(transaction=Transaction.ON)),
    ("-- pgpipe: transaction = auto", Directives()),
    ("  -- pgpipe : lock_timeout = 5S  \n", Directives(lock_timeout="5s")),
    ("-- pgpipe: statement_timeout = 0", Directives(statement_timeout="0")),
    ("-- pgpipe: role = App Owner", Directives(role="App Owner")),
    ("-- pgpipe: database = a=b", Directives(database="a=b")),
    ("--MSSDATABASE=Sales\nSELECT 1;", Directives(database="Sales")),
    ("SELECT 1;\n--MSSDATABASE=Sales", Directives(database="Sales")),
    ("SELECT 1;\r\n  --mssdatabase = Sales \r\n \n\n", Directives(database="Sales")),
    ("SELECT 1; --MSSDATABASE=Sales", Directives(database="Sales")),
    ("SELECT --MSSDATABASE=Sales\n 1;", Directives()),
    ("/* a\n-- pgpipe: role = x\n /* */ */\n-- pgpipe: role = y\n", Directives(role="y")),
    ("/* x */ -- pgpipe: role = x\nSELECT 1;", Directives()),
    ("-- not pgpipe: role = x\nSELECT 1;", Directives()),
    ("SELECT $$\n-- pgpipe: role = x\n$$;", Directives()),
    ("SELECT '\n-- pgpipe: role = x\n';", Directives()),
    ("SELECT 1; /*\n-- pgpipe: role = x\n*/", Directives()),
    ("COPY t FROM STDIN;\n-- pgpipe: role = x\n\\.\n", Directives()),
    ("SELECT 1; -- pgpipe: role = x\n", Directives()),
    (
        "--retry\n\n-- about\n-- pgpipe: role = x\n/* more */\n-- pgpipe: database = d\nX;",
        Directives(retry=True, role="x", database="d"),
    ),
]

REFUSED = [
    ("-- x\n -- pgpipe: lock_timeuot = 5s", 2, 2, "did you mean lock_timeout?"),
    ("-- pgpipe: zzz = 1", 1, 1, "unknown key 'zzz'; keys are transaction,"),
    ("-- pgpipe: retry", 1, 1, "write `--retry` alone on the first line"),
    ("-- pgpipe: skip = true", 1, 1, "write `--skip` alone on the first line"),
    ("-- pgpipe: skip =", 1, 1, "write `--skip` alone on the first line"),
    ("-- pgpipe:", 1, 1, "key = value"),
    ("-- pgpipe: transaction off", 1, 1, "key = value"),
    ("-- pgpipe: transaction = of", 1, 1, "auto, on or off"),
    ("-- pgpipe: transaction = off;", 1, 1, "auto, on or off"),
    ("-- pgpipe: role =", 1, 1, "role has no value"),
    ("SELECT 1;\n--MSSDATABASE=", 2, 1, "database has no value"),
    ("-- pgpipe: lock_timeout = soon", 1, 1, "write 0, 500ms"),
    ("-- pgpipe: lock_timeout = -1", 1, 1, "write 0, 500ms"),
    ("-- pgpipe: lock_timeout = 5 weeks", 1, 1, "write 0, 500ms"),
    ("-- pgpipe: lock_timeout = 25d", 1, 1, "write 0, 500ms"),
    ("-- pgpipe: lock_timeout = 2147483648", 1, 1, "write 0, 500ms"),
    ("-- pgpipe: role = a\n-- pgpipe: role = a", 2, 1, "role stands above already"),
    ("--MSSDATABASE=a\nSELECT 1;\n--MSSDATABASE=a", 3, 1, "database stands above already"),
    ("--retry\n--skip\n", 2, 1, "--retry stands above already"),
    ("--skip\n-- x\n--skip\n", 3, 1, "--skip stands above already"),
    ("SELECT 1;\n\n-- pgpipe: role = x\n", 3, 1, "no effect behind SQL"),
    ("SELECT 1,\n  -- pgpipe: nonsense\n 2;", 2, 3, "no effect behind SQL"),
    ("SELECT 1;\n--MSSDATABASE=x\nSELECT 2;", 2, 1, "no effect behind SQL"),
]


@pytest.mark.parametrize(("text", "directives"), READ)
def test_reads(text: str, directives: Directives) -> None:
    assert read_directives(text, "f.sql") == directives


@pytest.mark.parametrize(
    "value", ["0", "500ms", "5s", "2min", "1h", "1500", "1.5s", "10 s", "24d"]
)
def test_reads_timeouts(value: str) -> None:
    text = f"-- pgpipe: statement_timeout = {value}"
    assert read_directives(text, "f.sql").statement_timeout == value


@pytest.mark.parametrize(("text", "line", "column", "message"), REFUSED)
def test_refuses(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_directives(text, "sql/f.sql")
    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in caught.value.problem


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("--retry\nSELECT 1;\n", "SELECT 1;\n"),
        ("--retry", ""),
        ("-- a\n  -- pgpipe: role = x\r\n-- b\nSELECT 1;", "-- a\n-- b\nSELECT 1;"),
        ("-- pgpipe: nonsense\nSELECT 1;", "SELECT 1;"),
        ("SELECT 1;\n--MSSDATABASE=x\n", "SELECT 1;\n--MSSDATABASE=x\n"),
        ("--MSSDATABASE=x", ""),
        ("-- a\n--skip\nSELECT 1;\n--retry\n", "-- a\n--skip\nSELECT 1;\n--retry\n"),
        ("SELECT $$\n-- pgpipe: role = x\n$$;", "SELECT $$\n-- pgpipe: role = x\n$$;"),
    ],
)
def test_takes_directives_out_of_the_header(text: str, rest: str) -> None:
    assert without_header_directives(text) == rest


def test_checksum_ignores_what_does_not_count() -> None:
    plain = checksum("SELECT 1;\nSELECT 2;\n")
    assert plain == checksum("SELECT 1;\r\nSELECT 2;\r\n")
    assert plain == checksum("\ufeffSELECT 1;\nSELECT 2;\n")
    assert plain == checksum("--retry\nSELECT 1;\nSELECT 2;\n")
    assert plain == checksum("-- pgpipe: role = x\nSELECT 1;\nSELECT 2;\n")
    assert plain == checksum("SELECT 1;\nSELECT 2;\n--MSSDATABASE=x")
    assert plain == checksum("SELECT 1;\nSELECT 2;")
    assert len(plain) == 64
    assert checksum("--skip\r\na\r\n") == checksum("a")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_checksum_does_not_depend_on_the_pieces(size: int) -> None:
    text = "--retry\nSELECT 1;\r\n\r\n--MSSDATABASE=x\r\nSELECT 2;\n\n--MSSDATABASE=y\r\n \n"
    pieces = Checksum()
    pieces.feed(text[:8])
    for at in range(8, len(text), size):
        pieces.feed(text[at : at + size])
    assert pieces.finish() == checksum(text)
    assert checksum(text) == checksum("SELECT 1;\n\n--MSSDATABASE=x\nSELECT 2;")


def test_checksum_sees_everything_else() -> None:
    texts = [
        "SELECT 1;",
        "SELECT  1;",
        "SELECT 1",
        "-- x\nSELECT 1;",
        "select 1;",
        "SELECT 1;\n ;",
    ]
    assert len({checksum(text) for text in texts}) == len(texts)


def test_statement_hash() -> None:
    assert statement_hash("SELECT 1;\r\n") == statement_hash("SELECT 1;\n")
    assert statement_hash("SELECT 1;") != statement_hash("SELECT 2;")
    assert statement_hash("SELECT 1;") != statement_hash("--retry\nSELECT 1;")
