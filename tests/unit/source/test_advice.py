"""What to write instead, where the server refused what the text did not show."""

from __future__ import annotations

import pytest

from alembic_pgpipe.source.advice import advice
from alembic_pgpipe.source.reader import read_statements

ADVICE = [
    ("2D000", "CALL p()", "the procedure commits"),
    ("2D000", "DO $$ BEGIN COMMIT; END $$", "the DO block commits"),
    ("2D000", "SELECT f()", "a routine commits"),
    ("25001", "CLUSTER parted", "put this statement into a source of its own"),
    ("25001", "DO $$ BEGIN EXECUTE 'VACUUM'; END $$", "write the statement itself"),
    ("25001", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "the first statement"),
    ("25P01", "LOCK TABLE t", "write BEGIN; and COMMIT; around it"),
    ("55P04", "SELECT 'ok'::mood", "a source of its own, ahead of this one"),
]


@pytest.mark.parametrize(("sqlstate", "text", "words"), ADVICE)
def test_says_what_to_write_instead(sqlstate: str, text: str, words: str) -> None:
    [statement] = read_statements(text, "f.sql")
    assert words in str(advice(sqlstate, statement))


@pytest.mark.parametrize("sqlstate", ["42601", "23505", None])
def test_says_nothing_where_the_server_says_enough(sqlstate: str | None) -> None:
    [statement] = read_statements("CALL p()", "f.sql")
    assert advice(sqlstate, statement) is None
