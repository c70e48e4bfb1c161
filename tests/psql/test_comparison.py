"""The comparison allows what comparison.py says, and nothing else."""

from __future__ import annotations

import pytest

from tests.psql.comparison import differences
from tests.psql.recording_server import Sent

ALLOWED = [
    ("SELECT 1;", "SELECT 1;"),
    ("SELECT 1,\n2;", "SELECT 1,\n\n\n2;"),
    ("SELECT 1,\n  \n2;", "SELECT 1,\n  \n2;"),
    ("SELECT 1 -- end\n/* ; */", "SELECT 1"),
    ("SELECT '\n\n';", "SELECT '\n\n';"),
]
CAUGHT = [
    ("/* a; */ SELECT 1;", "SELECT 1;"),
    ("SELECT 1;", "SELECT 2;"),
    ("SELECT 1;", "SELECT 1"),
    ("SELECT 1", "SELECT 1;"),
    ("SELECT 1 -- x\n;", "SELECT 1"),
    ("SELECT 1 + 2;", "SELECT 1"),
    ("SELECT 1,\n\n2;", "SELECT 1,\n2;"),
    ("SELECT 1,\n2;", "SELECT 1,\n \n2;"),
    ("SELECT 1,\n2;", "SELECT 1,\n2;\n"),
    ("SELECT 1,\n2;", "SELECT 1,\n2;\nSELECT 3;"),
    ("SELECT  1;", "SELECT 1;"),
    ("SELECT 1;\r", "SELECT 1;\r\n"),
]


def sent(text: str, data: bytes | None = None) -> tuple[Sent, ...]:
    return (Sent(text.encode(), data),)


@pytest.mark.parametrize(("psql", "reader"), ALLOWED)
def test_allows(psql: str, reader: str) -> None:
    assert not differences(sent(psql), sent(reader))


@pytest.mark.parametrize(("psql", "reader"), CAUGHT)
def test_catches(psql: str, reader: str) -> None:
    assert differences(sent(psql), sent(reader))


@pytest.mark.parametrize("text", [";", " ;", "/* a */", "/* a /* b */ ; */\n-- c\n;", "-- x"])
def test_what_says_nothing_is_not_expected(text: str) -> None:
    assert not differences((*sent("SELECT 1;"), *sent(text)), sent("SELECT 1;"))


def test_a_statement_more_or_less_is_a_difference() -> None:
    one, two = sent("SELECT 1;"), (*sent("SELECT 1;"), *sent("SELECT 2;"))
    assert [found.number for found in differences(one, two)] == [2]
    assert [found.number for found in differences(two, one)] == [2]


@pytest.mark.parametrize("line", [b"\\.\n", b"\\.\r\n", b"\\."])
def test_the_end_of_data_is_no_data(line: bytes) -> None:
    copy = "COPY t FROM STDIN;"
    assert not differences(sent(copy, b"1\n" + line), sent(copy, b"1\n"))
    assert not differences(sent(copy, line), sent(copy, b""))
    assert differences(sent(copy, b"1" + line), sent(copy, b"1"))
    assert differences(sent(copy, b""), sent(copy))
