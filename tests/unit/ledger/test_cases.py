"""What a build made of each revision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alembic_pgpipe.ledger.cases import Case, Verdict, build_cases, tried_cases
from alembic_pgpipe.ledger.history import match_history
from alembic_pgpipe.model import Attempt, Direction, Outcome, Revision, Row, Status

A = Revision("a1", "20260301_a", "alembic/versions/a1_a.py", "20260301_a.sql")
UP = Direction.UPGRADE
TRY = Attempt(1, "a1", UP, Outcome.SUCCESS, name="20260301_a", duration_ms=1234)
FAILED = replace(
    TRY,
    outcome=Outcome.ERROR,
    sqlstate="22012",
    message="a.sql:1:1  22012 division_by_zero\ndivision by zero",
    build_number="41",
)


def case(
    status: Status | None = None,
    *tries: Attempt,
    earlier: tuple[Attempt, ...] = (),
    applied: bool = False,
) -> Case | None:
    """Return the one case of a build that made these tries."""
    rows = [Row("a1", A.name, status, logs="as the row has it")] if status else []
    history = match_history([A], rows, [*earlier, *tries])
    found = build_cases([A], history, tries, frozenset({"a1"} if applied else ()))
    assert len(found) < 2
    return found[0] if found else None


def test_what_a_build_applied_passed_with_its_time() -> None:
    expected = Case(A.name, A.path, Verdict.PASSED, seconds=1.234)
    assert case(Status.SUCCESS, TRY, applied=True) == expected


def test_what_a_build_failed_at_has_the_sqlstate_and_the_whole_error() -> None:
    first, _ = str(FAILED.message).split("\n")
    expected = Case(
        A.name, A.path, Verdict.FAILED, first, str(FAILED.message), "22012", seconds=1.234
    )
    assert case(Status.ERROR, FAILED) == expected


def test_an_error_without_a_sqlstate_has_a_kind_too() -> None:
    found = case(Status.ERROR, replace(FAILED, sqlstate=None))
    assert found is not None
    assert found.kind == "ERROR"


def test_the_latest_try_counts() -> None:
    found = case(Status.SUCCESS, FAILED, TRY, applied=True)
    assert found is not None
    assert found.verdict is Verdict.PASSED


@pytest.mark.parametrize("outcome", [Outcome.RUNNING, Outcome.INTERRUPTED])
def test_a_try_whose_run_died_failed(outcome: Outcome) -> None:
    found = case(Status.RUNNING, replace(TRY, outcome=outcome, duration_ms=None))
    assert found is not None
    assert (found.verdict, found.kind) == (Verdict.FAILED, "INTERRUPTED")
    assert "stopped, or died" in found.message
    assert found.seconds == 0.0


def test_a_revision_that_is_held_failed_with_what_another_build_said() -> None:
    found = case(Status.ERROR, earlier=(FAILED,))
    assert found is not None
    assert found.verdict is Verdict.FAILED
    assert found.message.startswith(
        "held: it failed in build 41, and nobody has decided: a.sql"
    )
    assert (found.kind, found.text, found.seconds) == ("22012", FAILED.message, None)


def test_a_revision_that_another_tool_failed_at_is_held_with_its_log() -> None:
    found = case(Status.ERROR)
    assert found is not None
    assert (found.kind, found.text) == ("ERROR", "as the row has it")


def test_a_skipped_revision_says_who_skipped_it_and_why() -> None:
    skip = replace(TRY, outcome=Outcome.SKIPPED, who="ann", reason="duplicates")
    expected = Case(A.name, A.path, Verdict.SKIPPED, "skipped by ann: duplicates")
    assert case(Status.SKIPPED, earlier=(skip,)) == expected


def test_a_revision_that_another_tool_skipped_is_skipped() -> None:
    assert case(Status.SKIPPED) == Case(A.name, A.path, Verdict.SKIPPED, "skipped")


@pytest.mark.parametrize(
    "status", [None, Status.WAITING, Status.RETRY, Status.RUNNING, Status.ROLLED_BACK]
)
def test_what_no_run_came_to_is_skipped(status: Status | None) -> None:
    found = case(status)
    assert found is not None
    assert found.verdict is Verdict.SKIPPED
    assert found.message.startswith(
        "rolled back" if status is Status.ROLLED_BACK else "not reached"
    )


@pytest.mark.parametrize("status", [None, Status.SUCCESS])
def test_what_was_applied_before_is_no_case(status: Status | None) -> None:
    assert case(status, applied=True) is None


def test_a_decision_is_no_try() -> None:
    retry = replace(TRY, outcome=Outcome.RETRY)
    found = case(Status.RETRY, retry)
    assert found is not None
    assert found.verdict is Verdict.SKIPPED


def test_a_downgrade_is_a_case_of_its_own() -> None:
    down = replace(TRY, direction=Direction.DOWNGRADE)
    history = match_history([A], [Row("a1", A.name, Status.ROLLED_BACK)], [TRY, down])
    names = [one.name for one in build_cases([A], history, [TRY, down], frozenset())]
    assert names == ["20260301_a", "20260301_a (downgrade)"]


def test_what_the_project_does_not_have_any_more_comes_last() -> None:
    gone = replace(FAILED, revision="b2", name="gone")
    history = match_history([A], [], [gone])
    names = [one.name for one in build_cases([A], history, [gone], frozenset())]
    assert names == ["20260301_a", "gone"]
    assert [one.name for one in tried_cases([gone])] == ["gone"]
