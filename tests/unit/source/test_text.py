"""Bytes that PostgreSQL could not read are named."""

from __future__ import annotations

import pytest

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.text import decode, place


def test_decodes_and_drops_the_bom() -> None:
    assert decode(b"\xef\xbb\xbfSELECT '\xc3\xa9';\r\n", "f.sql") == "SELECT 'é';\r\n"
    assert decode(b"", "f.sql") == ""


@pytest.mark.parametrize(
    ("raw", "line", "column", "message"),
    [
        (b"\xff\xfeS\0", 1, 1, "UTF-16"),
        (b"\xef\xbb\xbfa\n\xc3\xa9 \xe9x", 2, 3, "byte 0xE9 at offset 8, line 2,"),
        (b"SELECT '\xed\xa0\x80'", 1, 9, "byte 0xED at offset 8, line 1,"),
        (b"abc\xc3", 1, 4, "byte 0xC3 at offset 3, line 1,"),
        (b"a\nb\0c", 2, 2, "line 2 holds a NUL byte"),
    ],
)
def test_refuses_bytes(raw: bytes, line: int, column: int, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        decode(raw, "sql/f.sql")
    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in caught.value.problem
    assert str(caught.value).startswith(f"sql/f.sql:{line}:{column}: ")


def test_place() -> None:
    assert [place("ab\nc", at) for at in range(4)] == [(1, 1), (1, 2), (1, 3), (2, 1)]
