"""What is set again in a new session, and which names a statement speaks of."""

from __future__ import annotations

import pytest

from alembic_pgpipe.model import Remnant, RemnantKind
from alembic_pgpipe.outside.in_session import remnants
from alembic_pgpipe.outside.set_again import is_named_in
from alembic_pgpipe.source.reader import Statement, read_statements

SETTING, SECRET, LOCK, OBJECT = RemnantKind
PATH, ROLE = (SETTING, "search_path"), (SETTING, "role")
AUTHORIZATION = (SETTING, "session_authorization")
BEFORE = {PATH: "public", ROLE: "none", AUTHORIZATION: "ann"}


def statement(text: str) -> Statement:
    [found] = read_statements(text, "a.sql")
    return found


def is_no_secret(_text: str) -> bool:
    return False


def left(**after: str | None) -> set[Remnant]:
    """Return what is left where these settings are not what they were before."""
    now = {**BEFORE, **{(SETTING, name): value for name, value in after.items()}}
    kept = {key: value for key, value in now.items() if value is not None}
    return set(remnants(BEFORE, kept, lambda text: "secret" in text))


def test_what_is_as_it_was_is_not_left() -> None:
    assert left() == set()


def test_what_was_set_and_what_was_reset_is_left() -> None:
    assert left(work_mem="64") == {Remnant(SETTING, "work_mem", "64")}
    assert left(search_path=None) == {Remnant(SETTING, "search_path", None)}


def test_a_secret_is_left_by_its_name_only() -> None:
    assert left(key="my secret") == {Remnant(SECRET, "key")}


def test_a_role_goes_with_its_authorization() -> None:
    identity = {
        Remnant(SETTING, "session_authorization", "bob"),
        Remnant(SETTING, "role", "none"),
    }
    assert left(session_authorization="bob") == identity


def test_a_role_alone_leaves_the_authorization_to_whoever_goes_on() -> None:
    assert left(role="eve") == {Remnant(SETTING, "role", "eve")}


def test_a_lock_and_an_object_are_left_while_they_are_there() -> None:
    had = {(LOCK, "1 0 42"): "ExclusiveLock", (OBJECT, "draft"): "temporary table"}
    made = [Remnant(kind, name, value) for (kind, name), value in had.items()]
    assert sorted(remnants({}, had, is_no_secret), key=str) == sorted(made, key=str)
    assert list(remnants(had, {}, is_no_secret)) == []


@pytest.mark.parametrize("text", ["SELECT * FROM draft", 'TABLE "Draft"', "TABLE a.DRAFT"])
def test_a_name_is_found(text: str) -> None:
    assert is_named_in("Draft", statement(text))


@pytest.mark.parametrize("text", ["TABLE drafts", "TABLE draft_2", "TABLE my$draft"])
def test_a_name_is_found_as_a_word_only(text: str) -> None:
    assert not is_named_in("draft", statement(text))
