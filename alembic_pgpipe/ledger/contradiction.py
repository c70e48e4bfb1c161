"""What contradicts itself about one revision, and what two of the three records prove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alembic_pgpipe.ledger.finding import Finding, SetRow, shown_status
from alembic_pgpipe.ledger.history import BEFORE_THE_LEDGER
from alembic_pgpipe.model import Attempt, Direction, Outcome, Revision, Row, Status, UnreadRow

WORDS: Mapping[tuple[Outcome, Direction], str] = {
    (Outcome.SUCCESS, Direction.UPGRADE): "build {build} applied it{when}",
    (Outcome.SUCCESS, Direction.DOWNGRADE): "build {build} rolled it back{when}",
    (Outcome.STAMPED, Direction.UPGRADE): "{who} stamped it as applied{when}",
    (Outcome.STAMPED, Direction.DOWNGRADE): "{who} stamped it as not applied{when}",
    (Outcome.ADOPTED, Direction.UPGRADE): "it was found applied{when}",
    (Outcome.REPAIRED, Direction.UPGRADE): "{who} said{when} that it is applied",
    (Outcome.REPAIRED, Direction.DOWNGRADE): "{who} said{when} that it is not applied",
    (Outcome.SKIPPED, Direction.UPGRADE): "{who} skipped it{when}",
    (Outcome.RETRY, Direction.UPGRADE): "{who} wanted it retried{when}",
    (Outcome.ERROR, Direction.UPGRADE): "it failed in build {build}{when}",
}


@dataclass(frozen=True, slots=True)
class Said:
    """One revision, and the last word that each of the three has on it."""

    revision: Revision
    row: Row | UnreadRow | None
    passed: bool
    settled: Attempt | None
    tried: Attempt | None
    decided: Attempt | None
    begun_unseen: bool

    @property
    def status(self) -> Status | None:
        """Return the status of its row; None where there is none that we know."""
        return self.row.status if isinstance(self.row, Row) else None

    @property
    def applied(self) -> bool:
        """Return whether its attempts say that it is applied."""
        return self.settled is not None and self.settled.direction is Direction.UPGRADE

    @property
    def taken_back(self) -> bool:
        """Return whether its attempts say that it was applied and is not any more."""
        return self.settled is not None and not self.applied

    @property
    def last(self) -> Attempt | None:
        """Return its latest attempt or decision."""
        return _latest(self.settled, self.tried, self.decided)

    @property
    def wanted(self) -> Attempt | None:
        """Return the last try or decision; where it is not applied, its row shows that."""
        return _latest(self.tried, self.decided)


def contradiction(said: Said, *, watched: bool) -> Finding | None:
    """Return what contradicts itself about a revision, or None.

    ``watched`` says that a run has recorded before what had been applied until then.
    """
    if said.begun_unseen:
        doubtful, known = True, None
    elif said.applied:
        doubtful, known = _judge_applied(said)
    elif said.status is None:
        doubtful, known = _judge_without_row(said, watched=watched)
    else:
        doubtful, known = _judge_not_applied(said), None
    if not doubtful and known is None:
        return None
    return _finding(said, known)


def _latest(*attempts: Attempt | None) -> Attempt | None:
    known = (attempt for attempt in attempts if attempt is not None)
    return max(known, key=lambda attempt: attempt.id, default=None)


def _judge_applied(said: Said) -> tuple[bool, Status | None]:
    """Judge what its attempts say is applied: (only a person can know, what is known)."""
    if not said.passed:
        return not (said.status is Status.SUCCESS and _stays_ahead(said)), None
    if said.status is Status.SUCCESS:
        return False, None
    # What was tried since may have been done twice.
    if said.tried is not None and said.settled is not None and said.tried.id > said.settled.id:
        return True, None
    return False, Status.SUCCESS


def _stays_ahead(said: Said) -> bool:
    """Return whether a run passes it over: another tool, or a person, said it was applied."""
    settled = said.settled
    if settled is None or settled.outcome is Outcome.REPAIRED:
        return True
    return settled.outcome is Outcome.ADOPTED and settled.reason != BEFORE_THE_LEDGER


def _judge_without_row(said: Said, *, watched: bool) -> tuple[bool, Status | None]:
    """Judge what has no row that we can read, and is not applied as far as we know."""
    wanted = said.wanted
    skipped = wanted is not None and wanted.outcome is Outcome.SKIPPED
    if not said.passed:
        # Without a row it simply runs; a downgrade may have passed what was skipped.
        return skipped or said.row is not None, None
    if skipped:
        return False, Status.SKIPPED
    if wanted is not None and not (said.settled and said.settled.id > wanted.id):
        return False, Status.RETRY if wanted.outcome is Outcome.RETRY else Status.ERROR
    return said.taken_back or said.row is not None or watched, None


def _judge_not_applied(said: Said) -> bool:
    """Return whether a row contradicts attempts that know nothing of its being applied."""
    if said.passed:
        lost = said.status in (Status.WAITING, Status.ROLLED_BACK)
        return lost or (said.status is Status.SUCCESS and said.taken_back)
    if said.status is not Status.SUCCESS:
        return False
    broken_off = (Outcome.RUNNING, Outcome.INTERRUPTED)
    died = said.tried is not None and said.tried.outcome in broken_off
    return said.taken_back or died


def _finding(said: Said, known: Status | None) -> Finding:
    revision, mending = said.revision, None
    facts = f"{revision.id} ({revision.name}): {_facts(said)}"
    if known is not None:
        applied = known is Status.SUCCESS
        proof = said.settled if applied else said.wanted
        mending = SetRow(revision, said.row, known, applied, proof)
    return Finding(revision.id, revision.path, facts, mending, _answers(said))


def _answers(said: Said) -> tuple[SetRow, SetRow]:
    # What alembic_version has passed comes to its turn only as a RETRY.
    undone = Status.RETRY if said.passed else Status.WAITING
    return (
        SetRow(said.revision, said.row, Status.SUCCESS, applied=True),
        SetRow(said.revision, said.row, undone, applied=False),
    )


def _facts(said: Said) -> str:
    status = shown_status(said.row)
    row = f"its row says {status}" if status else "it has no row"
    last = said.settled if said.applied else said.last
    passed = "has passed it" if said.passed else "has not passed it"
    return f"{row}, {_word(last)}, and alembic_version {passed}"


def _word(last: Attempt | None) -> str:
    """Return what the last attempt at a revision says."""
    if last is None:
        return "no attempt at it is recorded"
    at = last.finished_at or last.started_at
    when = f" on {at:%Y-%m-%d %H:%M}" if at else ""
    form = WORDS.get(
        (last.outcome, last.direction), "build {build} was interrupted in it{when}"
    )
    return form.format(build=last.build_number, who=last.who or "somebody", when=when)
