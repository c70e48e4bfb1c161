"""What a run does with each revision: every row of the state table, as pure decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from alembic_pgpipe.ledger.history import History, match_history
from alembic_pgpipe.model import Attempt, Direction, Outcome, Revision, Row, Status
from alembic_pgpipe.run.plan import (
    SAYS_RETRY,
    Action,
    Decision,
    Facts,
    Plan,
    decide_downgrade,
    decide_upgrade,
    plan_upgrade,
)
from alembic_pgpipe.settings import RetryFailed

REVISION = Revision("aaaa", "users", "versions/aaaa.py")
FINISHED = datetime(2026, 3, 1, 4, 5, tzinfo=timezone.utc)
SAME = Facts(checksum="one")
EDITED = Facts(checksum="two")


def attempt(outcome: Outcome, **values: str) -> Attempt:
    return Attempt(1, "aaaa", Direction.UPGRADE, outcome, **{"build_number": "7", **values})  # type: ignore[arg-type]


def history(status: Status | None, *attempts: Attempt) -> History:
    rows = [Row("aaaa", "users", status, finished_at=FINISHED)] if status else []
    return match_history([REVISION], rows, attempts)


def decide(
    status: Status | None,
    *attempts: Attempt,
    facts: Facts = SAME,
    retry_failed: RetryFailed = RetryFailed.CHANGED,
) -> Decision:
    return decide_upgrade(REVISION, history(status, *attempts), {"aaaa": facts}, retry_failed)


# -- upwards ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [None, Status.WAITING, Status.ROLLED_BACK])
def test_what_was_not_tried_runs(status: Status | None) -> None:
    assert decide(status) == Decision(Action.RUN)


@pytest.mark.parametrize(
    "status", [None, Status.WAITING, Status.ERROR, Status.RUNNING, Status.ROLLED_BACK]
)
def test_what_says_skip_is_marked_and_passed(status: Status | None) -> None:
    decision = decide(status, facts=Facts("one", skip=True))
    assert (decision.action, decision.mark) == (Action.PASS, Status.SKIPPED)
    assert decision.why == "its source says --skip"


def test_what_was_interrupted_runs_and_names_the_build() -> None:
    decision = decide(Status.RUNNING, attempt(Outcome.RUNNING))
    assert decision == Decision(Action.RUN, "build 7 was interrupted in it")


def test_what_was_retried_runs_and_says_who_wanted_it() -> None:
    decision = decide(Status.RETRY, attempt(Outcome.RETRY, who="ann", reason="server full"))
    assert decision == Decision(Action.RUN, "retried by ann: server full")


def test_what_was_skipped_is_passed_and_says_why() -> None:
    decision = decide(Status.SKIPPED, attempt(Outcome.SKIPPED, who="ann", reason="not needed"))
    assert decision == Decision(Action.PASS, "skipped by ann: not needed")


FAILED = attempt(Outcome.ERROR, checksum="one", directives="")
HELD, RUN = (Action.HOLD, None), (Action.RUN, Status.RETRY)


def test_what_failed_before_directives_were_kept_is_held_whatever_they_say() -> None:
    before = attempt(Outcome.ERROR, checksum="one")
    decision = decide(Status.ERROR, before, facts=Facts("one", directives="role = ann"))
    assert decision.action is Action.HOLD


@pytest.mark.parametrize(
    ("retry_failed", "facts", "expected"),
    [
        (RetryFailed.CHANGED, SAME, HELD),
        (RetryFailed.CHANGED, EDITED, RUN),
        (RetryFailed.CHANGED, Facts("one", directives="role = ann"), RUN),
        (RetryFailed.DIRECTIVE, Facts("one", directives="role = ann"), HELD),
        (RetryFailed.CHANGED, Facts("one", retry=True), RUN),
        (RetryFailed.DIRECTIVE, SAME, HELD),
        (RetryFailed.DIRECTIVE, EDITED, HELD),
        (RetryFailed.DIRECTIVE, Facts("one", retry=True), RUN),
        (RetryFailed.ALWAYS, SAME, RUN),
        (RetryFailed.ALWAYS, EDITED, RUN),
    ],
)
def test_what_failed_is_held_until_somebody_has_decided(
    retry_failed: RetryFailed, facts: Facts, expected: tuple[Action, Status | None]
) -> None:
    decision = decide(Status.ERROR, FAILED, facts=facts, retry_failed=retry_failed)
    assert (decision.action, decision.mark) == expected


@pytest.mark.parametrize("attempts", [(), (attempt(Outcome.ERROR),)])
def test_what_failed_elsewhere_is_held_since_nobody_knows_whether_it_was_edited(
    attempts: tuple[Attempt, ...],
) -> None:
    assert decide(Status.ERROR, *attempts).action is Action.HOLD


def test_what_another_tool_applied_is_passed_and_says_when() -> None:
    decision = decide(Status.SUCCESS)
    assert (decision.action, decision.adopt) == (Action.PASS, True)
    assert decision.why == "applied by another tool on 2026-03-01 04:05"
    again = decide(Status.SUCCESS, attempt(Outcome.ADOPTED))
    assert (again.action, again.adopt) == (Action.PASS, False)


def test_what_a_person_said_is_applied_is_passed_and_says_who() -> None:
    said = replace(attempt(Outcome.REPAIRED, who="ann", reason="by hand"), id=2)
    decision = decide(Status.SUCCESS, attempt(Outcome.ERROR), said)
    assert decision == Decision(Action.PASS, "applied by ann: by hand")


# -- out of order ----------------------------------------------------------------------


def to_run(plan: Plan) -> list[Revision]:
    return [r for r, decision in plan.decisions if decision.action is Action.RUN]


@pytest.mark.parametrize("status", Status)
def test_only_open_questions_of_passed_revisions_are_caught_up(status: Status) -> None:
    known = history(status, FAILED)
    plan = plan_upgrade([REVISION], [], known, {"aaaa": EDITED}, RetryFailed.CHANGED)
    caught_up = {Status.RETRY, Status.ERROR, Status.RUNNING}
    assert to_run(plan) == ([REVISION] if status in caught_up else [])


def test_a_passed_revision_that_failed_holds_the_run() -> None:
    known = history(Status.ERROR, FAILED)
    plan = plan_upgrade([REVISION], [], known, {"aaaa": SAME}, RetryFailed.CHANGED)
    assert plan.held == (REVISION,)


def test_what_is_caught_up_comes_before_what_is_pending() -> None:
    new = Revision("bbbb", "orders", "versions/bbbb.py")
    known = match_history(
        [REVISION, new], [Row("aaaa", "users", Status.RETRY)], [attempt(Outcome.RETRY)]
    )
    plan = plan_upgrade([REVISION], [new], known, {}, RetryFailed.CHANGED)
    assert to_run(plan) == [REVISION, new]


# -- downwards -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [None, Status.SUCCESS])
def test_what_is_applied_is_undone(status: Status | None) -> None:
    assert decide_downgrade(REVISION, history(status)).action is Action.RUN


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.SUCCESS])
def test_what_is_not_applied_is_passed_by_a_downgrade(status: Status) -> None:
    decision = decide_downgrade(REVISION, history(status))
    assert decision.action is Action.PASS
    assert f"it is {status.value}" in decision.why


# -- what a source says against what somebody has said ----------------------------------


def retried(reason: str | None, status: Status = Status.RETRY) -> Decision:
    values = {"reason": reason} if reason is not None else {}
    return decide(status, attempt(Outcome.RETRY, **values), facts=Facts("one", skip=True))


def test_a_skip_counts_where_only_the_source_had_asked_for_another_try() -> None:
    for reason in (SAYS_RETRY, f"{SAYS_RETRY}; TICKET-1"):
        assert retried(reason).mark is Status.SKIPPED


@pytest.mark.parametrize("reason", [None, "TICKET-1"])
def test_a_retry_by_somebody_counts_against_a_skip(reason: str | None) -> None:
    assert retried(reason).action is Action.RUN
