"""Which row belongs to which revision, and which attempt counts."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from alembic_pgpipe.errors import LedgerError
from alembic_pgpipe.ledger.history import match_history, refuse_unread
from alembic_pgpipe.model import Attempt, Direction, Outcome, Revision, Row, Status, UnreadRow

USERS = Revision("aaaa", "users", "versions/aaaa.py")
ORDERS = Revision("bbbb", "orders", "versions/bbbb.py")


def day(number: int) -> datetime:
    return datetime(2026, 3, number, tzinfo=timezone.utc)


def attempt(
    id_: int, outcome: Outcome, direction: Direction = Direction.UPGRADE, revision: str = "aaaa"
) -> Attempt:
    return Attempt(id_, revision, direction, outcome)


def test_a_row_is_found_by_its_id_whatever_its_name() -> None:
    row = Row("aaaa", "an older name", Status.SUCCESS)
    history = match_history([USERS], [row], [])
    assert history.rows == {"aaaa": row}
    assert history.strangers == ()


def test_a_row_of_the_bash_tool_is_found_by_its_name() -> None:
    row = Row("0815", "users", Status.SUCCESS)
    assert match_history([USERS], [row], []).rows == {"aaaa": row}


def test_an_id_beats_a_name() -> None:
    own, other = Row("aaaa", "users", Status.ERROR), Row("0815", "users", Status.SUCCESS)
    assert match_history([USERS], [other, own], []).rows == {"aaaa": own}


def test_a_row_that_belongs_to_another_revision_by_id_is_not_taken_by_name() -> None:
    row = Row("bbbb", "users", Status.SUCCESS)
    assert match_history([USERS, ORDERS], [row], []).rows == {"bbbb": row}


def test_of_several_rows_of_one_name_a_success_counts() -> None:
    rows = [
        Row("1", "users", Status.ERROR, day(1)),
        Row("2", "users", Status.SUCCESS, day(2)),
        Row("3", "users", Status.ERROR, day(3)),
    ]
    for given in (rows, rows[::-1]):
        assert match_history([USERS], given, []).rows["aaaa"].id == "2"


def test_of_several_rows_of_one_name_without_a_success_the_latest_counts() -> None:
    rows = [
        Row("1", "users", Status.ERROR, day(3)),
        Row("2", "users", Status.RETRY, day(1)),
        Row("3", "users", Status.WAITING),
    ]
    for given in (rows, rows[::-1]):
        assert match_history([USERS], given, []).rows["aaaa"].id == "1"


def test_rows_of_no_revision_are_strangers() -> None:
    row = Row("0815", "gone", Status.SUCCESS)
    history = match_history([USERS], [row], [])
    assert history.rows == {}
    assert history.strangers == (row,)


def test_a_status_that_nobody_knows_is_refused_only_where_a_revision_has_it() -> None:
    row = UnreadRow("aaaa", "users", "done")
    history = match_history([USERS], [row], [])
    assert (history.rows, history.unread) == ({}, {"aaaa": row})
    with pytest.raises(LedgerError, match=r"'done' for users .* alembic pgpipe repair"):
        refuse_unread(history)
    stranger = match_history([ORDERS], [row], [])
    assert stranger.strangers == (row,)
    refuse_unread(stranger)


def test_a_row_that_can_be_read_beats_one_of_its_name_that_cannot() -> None:
    rows: list[Row | UnreadRow] = [
        UnreadRow("1", "users", "done"),
        Row("2", "users", Status.ERROR),
    ]
    for given in (rows, rows[::-1]):
        history = match_history([USERS], given, [])
        assert (history.rows["aaaa"].id, history.unread) == ("2", {})


def test_a_revision_that_no_run_has_seen_is_waiting() -> None:
    history = match_history([USERS], [Row("bbbb", "orders", Status.SUCCESS)], [])
    assert history.status("aaaa") is Status.WAITING


def test_tries_are_kept_by_direction_and_decisions_apart() -> None:
    up, down = attempt(1, Outcome.SUCCESS), attempt(2, Outcome.ERROR, Direction.DOWNGRADE)
    retry = attempt(3, Outcome.RETRY)
    history = match_history([USERS], [], [up, down, retry])
    assert history.last_try("aaaa", Direction.UPGRADE) is up
    assert history.last_try("aaaa", Direction.DOWNGRADE) is down
    assert history.decisions == {"aaaa": retry}
    assert history.last_try("bbbb", Direction.UPGRADE) is None


def test_a_stamp_and_an_adoption_are_tries() -> None:
    for outcome in (Outcome.STAMPED, Outcome.ADOPTED):
        history = match_history([USERS], [], [attempt(1, outcome)])
        assert history.last_try("aaaa", Direction.UPGRADE) is not None
        assert history.decisions == {}
