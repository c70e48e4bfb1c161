"""Files are tried behind those that create what they mention."""

from __future__ import annotations

from alembic_pgpipe.routines.working import RoutineChange
from alembic_pgpipe.shipping.mentions import behind_what_they_mention


def ordered(**texts: str) -> list[str]:
    changes = [RoutineChange(name, f"{name}.sql", "", text) for name, text in texts.items()]
    return [change.name for change in behind_what_they_mention(changes)]


def test_files_that_mention_no_other_keep_their_places() -> None:
    assert ordered(b="CREATE VIEW b AS SELECT 1;", a="CREATE VIEW a AS SELECT 2;") == ["b", "a"]


def test_a_file_comes_behind_what_its_body_mentions() -> None:
    body = "CREATE FUNCTION a() RETURNS int LANGUAGE sql AS $$SELECT one FROM App.B$$;"
    assert ordered(a=body, b="CREATE VIEW app.b AS SELECT 1 AS one;") == ["b", "a"]


def test_a_name_in_quotes_is_mentioned_too() -> None:
    quoted = 'CREATE VIEW "Orders" AS SELECT 1;'
    assert ordered(a='CREATE VIEW a AS TABLE "Orders";', b=quoted) == ["b", "a"]


def test_a_comment_mentions_nothing() -> None:
    commented = "CREATE VIEW a AS -- as b was\nSELECT 1;"
    assert ordered(a=commented, b="CREATE VIEW b AS SELECT 1;") == ["a", "b"]


def test_of_files_that_mention_each_other_the_first_comes_first() -> None:
    assert ordered(a="CREATE VIEW a AS SELECT b;", b="CREATE VIEW b AS SELECT a;") == ["a", "b"]


def test_what_cannot_be_read_keeps_its_place_among_others() -> None:
    assert ordered(a="SELECT 'b", b="CREATE VIEW b AS SELECT 1;", c="") == ["a", "b", "c"]
