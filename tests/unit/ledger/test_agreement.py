"""What alembic_version, the rows and the attempts say of a revision, in every combination."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from itertools import product

import pytest

from alembic_pgpipe.ledger.agreement import (
    Agreement,
    Evidence,
    agreement,
    refusal,
)
from alembic_pgpipe.ledger.finding import Finding, ForgetVersion, SetRow
from alembic_pgpipe.ledger.history import BEFORE_THE_LEDGER, match_history
from alembic_pgpipe.ledger.script import REASON
from alembic_pgpipe.model import Attempt, Direction, Outcome, Revision, Row, Status, UnreadRow

UP, DOWN = Direction.UPGRADE, Direction.DOWNGRADE
AT = datetime(2026, 3, 1, 4, 5, tzinfo=timezone.utc)
USERS = Revision("aaaa", "users", "versions/aaaa.py")
ORDERS = Revision("bbbb", "orders", "versions/bbbb.py")


def attempt(
    id_: int,
    outcome: Outcome,
    direction: Direction = UP,
    *,
    revision: str = "aaaa",
    reason: str | None = None,
) -> Attempt:
    return Attempt(
        id_,
        revision,
        direction,
        outcome,
        build_number="7",
        who="ann",
        reason=reason,
        finished_at=AT,
    )


def agree(
    *attempts: Attempt,
    status: Status | str | None = None,
    passed: bool = False,
    running: bool = False,
    revisions: tuple[Revision, ...] = (USERS,),
) -> Agreement:
    rows: list[Row | UnreadRow] = []
    if isinstance(status, Status):
        rows.append(Row("aaaa", "users", status))
    elif status is not None:
        rows.append(UnreadRow("aaaa", "users", status))
    return agreement(
        Evidence(
            revisions,
            frozenset({"aaaa"} if passed else ()),
            match_history(revisions, rows, attempts),
            running=running,
        )
    )


def verdict(*attempts: Attempt, status: Status | str | None, passed: bool) -> str:
    """Return ``fine``, ``ask``, or the status that repair would set."""
    found = agree(*attempts, status=status, passed=passed, running=True).findings
    if not found:
        return "fine"
    [finding] = found
    if finding.mending is None:
        return "ask"
    assert isinstance(finding.mending, SetRow)
    return finding.mending.status.value


NOTHING: tuple[Attempt, ...] = ()
APPLIED = (attempt(1, Outcome.SUCCESS),)
ROLLED_BACK = (*APPLIED, attempt(2, Outcome.SUCCESS, DOWN))
FAILED = (attempt(1, Outcome.ERROR),)
SKIPPED = (*FAILED, attempt(2, Outcome.SKIPPED))
RETRIED = (*SKIPPED, attempt(3, Outcome.RETRY))
HISTORIES = {
    "nothing": NOTHING,
    "applied": APPLIED,
    "rolled back": ROLLED_BACK,
    "failed": FAILED,
    "skipped": SKIPPED,
    "retried": RETRIED,
}
STATUSES = (
    None,
    Status.WAITING,
    Status.RUNNING,
    Status.SUCCESS,
    Status.ERROR,
    Status.RETRY,
    Status.SKIPPED,
    Status.ROLLED_BACK,
    "success",
)
# Each line in the order of STATUSES: what is fine, what is asked, what is set.
EXPECTED = {
    ("nothing", False): "fine fine ask fine ask ask fine fine ask",
    ("applied", False): "ask ask ask ask ask ask ask ask ask",
    ("rolled back", False): "fine fine fine ask fine fine fine fine ask",
    ("failed", False): "fine fine fine fine fine fine fine fine ask",
    ("skipped", False): "ask fine fine fine fine fine fine fine ask",
    ("retried", False): "fine fine fine fine fine fine fine fine ask",
    ("nothing", True): "fine ask ask fine ask ask fine ask ask",
    ("applied", True): "SUCCESS SUCCESS SUCCESS fine SUCCESS SUCCESS SUCCESS SUCCESS SUCCESS",
    ("rolled back", True): "ask ask fine ask fine fine fine ask ask",
    ("failed", True): "ERROR ask fine fine fine fine fine ask ERROR",
    ("skipped", True): "SKIPPED ask fine fine fine fine fine ask SKIPPED",
    ("retried", True): "RETRY ask fine fine fine fine fine ask RETRY",
}


@pytest.mark.parametrize(("said", "passed"), EXPECTED)
def test_each_combination_is_fine_asked_or_known(said: str, passed: bool) -> None:
    found = [verdict(*HISTORIES[said], status=s, passed=passed) for s in STATUSES]
    assert found == EXPECTED[said, passed].split()


def test_nothing_that_was_applied_may_run_again_unless_a_person_says_so() -> None:
    for status, passed in product(STATUSES, (False, True)):
        fine = verdict(*APPLIED, status=status, passed=passed) == "fine"
        assert fine is (status is Status.SUCCESS and passed)


# -- who said that it is applied -------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.STAMPED, Outcome.SUCCESS])
def test_what_we_applied_and_alembic_version_lacks_is_asked(outcome: Outcome) -> None:
    assert verdict(attempt(1, outcome), status=Status.SUCCESS, passed=False) == "ask"


def test_what_another_tool_or_a_person_applied_may_be_ahead_of_alembic_version() -> None:
    adopted = attempt(1, Outcome.ADOPTED, reason="applied by another tool on 2026-03-01")
    repaired = attempt(1, Outcome.REPAIRED)
    for one in (adopted, repaired):
        assert verdict(one, status=Status.SUCCESS, passed=False) == "fine"
        assert verdict(one, status=Status.WAITING, passed=False) == "ask"


def test_what_alembic_had_passed_and_has_not_any_more_is_asked() -> None:
    adopted = attempt(1, Outcome.ADOPTED, reason=BEFORE_THE_LEDGER)
    assert verdict(adopted, status=Status.SUCCESS, passed=False) == "ask"


def test_what_was_tried_again_after_it_was_applied_is_asked() -> None:
    again = (*APPLIED, attempt(2, Outcome.ERROR))
    assert verdict(*again, status=Status.ERROR, passed=True) == "ask"


@pytest.mark.parametrize("outcome", [Outcome.RUNNING, Outcome.INTERRUPTED])
def test_a_success_by_hand_over_what_broke_off_is_asked(outcome: Outcome) -> None:
    died = attempt(1, outcome)
    assert verdict(died, status=Status.SUCCESS, passed=False) == "ask"
    assert verdict(died, status=Status.RUNNING, passed=False) == "fine"


def test_what_the_bash_tool_had_begun_is_not_asked() -> None:
    row = Row("17", "users", Status.ERROR)
    rows = match_history((USERS,), [row], ())
    assert agreement(Evidence((USERS,), frozenset(), rows)).findings == ()


# -- passed without the ledger ---------------------------------------------------------------


def passed_by(*attempts: Attempt) -> list[str]:
    """Return what is found where users is passed without a row, orders with attempts."""
    found = agree(*attempts, passed=True, running=True, revisions=(USERS, ORDERS)).findings
    return [finding.subject for finding in found if finding.subject == "aaaa"]


def test_what_was_passed_before_any_run_is_adopted() -> None:
    assert passed_by() == []
    assert passed_by(attempt(1, Outcome.SKIPPED, revision="bbbb")) == []
    assert passed_by(attempt(1, Outcome.STAMPED, revision="bbbb")) == []
    assert passed_by(attempt(1, Outcome.SUCCESS, revision="bbbb", reason=REASON)) == []


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.ADOPTED])
def test_what_was_passed_after_a_run_without_the_ledger_is_asked(outcome: Outcome) -> None:
    assert passed_by(attempt(1, outcome, revision="bbbb")) == ["aaaa"]


# -- words and answers -----------------------------------------------------------------------


def only(found: Agreement) -> Finding:
    [finding] = found.findings
    return finding


def test_a_finding_says_all_three_and_what_to_type() -> None:
    asked = str(only(agree(*APPLIED, status=Status.WAITING)))
    assert asked == (
        "aaaa (users): its row says WAITING, build 7 applied it on 2026-03-01 04:05, and "
        "alembic_version has not passed it. Only you can know. If it is applied: alembic "
        "pgpipe repair --applied aaaa; if it is not: alembic pgpipe repair --not-applied aaaa"
    )
    known = str(only(agree(*APPLIED, passed=True)))
    assert known == (
        "aaaa (users): it has no row, build 7 applied it on 2026-03-01 04:05, and "
        "alembic_version has passed it. Mend it (no row → SUCCESS): alembic pgpipe repair"
    )


@pytest.mark.parametrize(("passed", "undone"), [(True, Status.RETRY), (False, Status.WAITING)])
def test_an_answer_lets_the_next_run_pass_it_or_run_it(passed: bool, undone: Status) -> None:
    finding = only(agree(*ROLLED_BACK, status=Status.SUCCESS, passed=passed))
    assert finding.answers is not None
    applied, not_applied = finding.answers
    assert (applied.status, not_applied.status) == (Status.SUCCESS, undone)
    for answer in finding.answers:
        said = attempt(9, Outcome.REPAIRED, UP if answer.applied else DOWN)
        after = verdict(*ROLLED_BACK, said, status=answer.status, passed=passed)
        assert after == "fine"


def test_a_mending_leaves_nothing_to_mend() -> None:
    for attempts, status in product(HISTORIES.values(), STATUSES):
        for finding in agree(*attempts, status=status, passed=True, running=True).findings:
            if isinstance(finding.mending, SetRow):
                way = UP if finding.mending.applied else DOWN
                said = attempt(9, Outcome.REPAIRED, way)
                after = finding.mending.status
                assert verdict(*attempts, said, status=after, passed=True) == "fine"


def test_a_refusal_names_the_first_and_counts_the_others() -> None:
    assert refusal([]) is None
    finding = only(agree(*APPLIED, status=Status.WAITING))
    text = str(refusal([finding, finding, finding]))
    assert str(finding) in text and "And 2 more. Nothing was run." in text
    assert "alembic pgpipe check" in text
    assert "more" not in str(refusal([finding]))


# -- alembic_version itself ------------------------------------------------------------------


def test_an_unknown_revision_in_alembic_version_hides_what_is_passed() -> None:
    history = match_history([USERS], [], APPLIED)
    found = only(agreement(Evidence((USERS,), frozenset(), history, unknown=("ffff",))))
    assert "it holds revision 'ffff'" in str(found)
    assert "alembic stamp --purge REVISION" in str(found)
    assert found.mending is None and found.answers is None


def test_a_version_behind_another_one_can_be_forgotten() -> None:
    history = match_history([USERS], [Row("aaaa", "users", Status.SUCCESS)], APPLIED)
    evidence = Evidence((USERS,), frozenset({"aaaa"}), history, behind=("aaaa",))
    assert only(agreement(evidence)).mending == ForgetVersion("aaaa")


# -- open attempts, rows of nobody -----------------------------------------------------------


@pytest.mark.parametrize("status", [Status.RUNNING, Status.RETRY, Status.WAITING])
def test_an_open_attempt_that_the_next_run_goes_on_with_is_a_note(status: Status) -> None:
    found = agree(attempt(1, Outcome.RUNNING), status=status)
    assert found.findings == ()
    assert found.notes == (
        "aaaa (users): build 7 died in it; the next 'alembic upgrade' goes on",
    )


def test_an_open_attempt_that_no_run_goes_on_with_is_a_note() -> None:
    died = attempt(1, Outcome.RUNNING)
    for found in (
        agree(died, status=Status.SKIPPED),
        agree(died, attempt(2, Outcome.SUCCESS), status=Status.SUCCESS, passed=True),
        agree(replace(died, revision="ffff")),
    ):
        assert found.findings == ()
        assert "its attempt is still open; the next run closes that" in found.notes[0]


def test_a_downgrade_that_died_goes_on_with_the_next_downgrade() -> None:
    died = attempt(2, Outcome.RUNNING, DOWN)
    found = agree(*APPLIED, died, status=Status.SUCCESS, passed=True)
    assert found.findings == ()
    assert "the next 'alembic downgrade' goes on" in found.notes[0]


def test_an_open_attempt_is_nothing_while_a_run_is_at_work() -> None:
    died = attempt(1, Outcome.RUNNING)
    assert agree(died, status=Status.SKIPPED, running=True) == Agreement(())


def test_rows_of_no_revision_are_a_note() -> None:
    rows = [Row(str(n), f"gone{n}", Status.SUCCESS) for n in range(7)]
    history = match_history([USERS], rows, [])
    [note] = agreement(Evidence((USERS,), frozenset(), history)).notes
    assert note.startswith("7 rows of migrations belong to no revision of this project")
    assert note.endswith("gone0, gone1, gone2, gone3, gone4 and 2 more")
