"""The recording server answers as a real one where psql's lexer depends on it."""

from __future__ import annotations

import pytest

from tests.psql.session import Copy, CopyAnswer, Session, copy_answer

SETTING = "standard_conforming_strings"
OFF, ON = {SETTING: "off"}, {SETTING: "on"}
SJIS, UTF8 = {"client_encoding": "SJIS"}, {"client_encoding": "UTF8"}


@pytest.mark.parametrize(
    ("statements", "reported"),
    [
        ([f"SET {SETTING} = off;"], [OFF]),
        ([f"/* x */ set session {SETTING} TO 'OFF'"], [OFF]),
        ([f"SET {SETTING} = on;"], [{}]),
        ([f"SET {SETTING} = 0;", f"SET {SETTING} = DEFAULT;"], [OFF, ON]),
        ([f"SET {SETTING} = off;", f"RESET {SETTING};"], [OFF, ON]),
        ([f"SET {SETTING} = off;", "RESET ALL"], [OFF, ON]),
        ([f"SET {SETTING} = off;", "DISCARD ALL"], [OFF, ON]),
        ([f"SELECT set_config('{SETTING}', 'off', false)"], [OFF]),
        (["BEGIN", f"SET {SETTING} = off", "COMMIT"], [{}, OFF, {}]),
        (["BEGIN", f"SET {SETTING} = off", "ROLLBACK"], [{}, OFF, ON]),
        (["BEGIN", f"SET {SETTING} = off", "ROLLBACK TO a"], [{}, OFF, {}]),
        (["BEGIN", f"SET LOCAL {SETTING} = off", "COMMIT"], [{}, OFF, ON]),
        (["BEGIN", f"SELECT set_config('{SETTING}', 'off', true)", "END"], [{}, OFF, ON]),
        ([f"SET LOCAL {SETTING} = off"], [{}]),
        ([f"SELECT 'SET {SETTING} = off'"], [{}]),
        (["SET NAMES 'sjis'", "RESET client_encoding"], [SJIS, UTF8]),
    ],
)
def test_reports_what_changes(statements: list[str], reported: list[dict[str, str]]) -> None:
    session = Session()
    assert [session.follow(text) for text in statements] == reported


@pytest.mark.parametrize(
    ("statements", "status"),
    [
        (["SELECT 1"], b"I"),
        (["BEGIN"], b"T"),
        (["start transaction", "SELECT 1"], b"T"),
        (["BEGIN", "COMMIT"], b"I"),
        (["BEGIN", "COMMIT AND CHAIN"], b"T"),
        (["BEGIN", "ROLLBACK TO SAVEPOINT a"], b"T"),
        (["BEGIN", "ROLLBACK PREPARED 'x'"], b"T"),
        (["BEGIN", "ABORT"], b"I"),
        (["BEGIN", "PREPARE TRANSACTION 'x'"], b"I"),
    ],
)
def test_follows_the_transaction(statements: list[str], status: bytes) -> None:
    session = Session()
    for text in statements:
        session.follow(text)
    assert session.status == status


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("COPY t FROM STDIN;", CopyAnswer(Copy.IN, binary=False)),
        ("copy t (a) /* ; */ from\nstdin with (format csv)", CopyAnswer(Copy.IN, binary=False)),
        ("COPY t FROM STDOUT", CopyAnswer(Copy.IN, binary=False)),
        ("COPY BINARY t FROM STDIN", CopyAnswer(Copy.IN, binary=True)),
        ("COPY t FROM STDIN (FORMAT binary)", CopyAnswer(Copy.IN, binary=True)),
        ("COPY t TO STDOUT", CopyAnswer(Copy.OUT, binary=False)),
        ("COPY (SELECT a FROM stdin) TO STDOUT", CopyAnswer(Copy.OUT, binary=False)),
        ("COPY t FROM '/tmp/from stdin'", None),
        ('COPY t FROM "stdin"', None),
        ("SELECT a FROM stdin", None),
        ("DO $$ COPY t FROM STDIN $$", None),
    ],
)
def test_answers_a_copy(text: str, answer: CopyAnswer | None) -> None:
    assert copy_answer(text) == answer
