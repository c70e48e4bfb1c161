"""The recording server keeps what psql sends, byte for byte."""

from __future__ import annotations

from pathlib import Path

from tests.psql.client import Psql
from tests.psql.recording_server import Sent


def recorded(psql: Psql, folder: Path, text: bytes) -> tuple[Sent, ...]:
    path = folder / "f.sql"
    path.write_bytes(text)
    return psql.sent(path)


def test_keeps_every_byte(psql: Psql, tmp_path: Path) -> None:
    text = b"SELECT '\xff\xfe\r\t\x01\n\n', $$\xc3\xa9$$;"
    assert recorded(psql, tmp_path, text) == (Sent(text),)


def test_keeps_copy_data_apart(psql: Psql, tmp_path: Path) -> None:
    sent = recorded(psql, tmp_path, b"COPY t FROM STDIN;\n1\n2\nSELECT 1;\n\\.\nSELECT 2;\n")
    assert [(each.text, each.data and each.data[:14]) for each in sent] == [
        (b"COPY t FROM STDIN;", b"1\n2\nSELECT 1;\n"),
        (b"SELECT 2;", None),
    ]


def test_makes_psql_change_its_lexer(psql: Psql, tmp_path: Path) -> None:
    text = b"SELECT '\\';\nSET standard_conforming_strings = off;\nSELECT '\\';';\n"
    assert [each.text for each in recorded(psql, tmp_path, text)][2] == b"SELECT '\\';';"


def test_forgets_between_files(psql: Psql, tmp_path: Path) -> None:
    assert len(recorded(psql, tmp_path, b"SELECT 1; SELECT 2;")) == 2
    assert len(recorded(psql, tmp_path, b"SELECT 3;")) == 1


def test_lets_psql_go_on_behind_an_empty_query(psql: Psql, tmp_path: Path) -> None:
    sent = recorded(psql, tmp_path, b"COPY t FROM STDIN;\n1\n\\.\n;\n/* */;\nSELECT 1;\n")
    assert [each.text for each in sent][1:] == [b";", b"/* */;", b"SELECT 1;"]
