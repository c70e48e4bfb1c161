"""Decide what a run does with each revision: the table of README, Statuses.

Nothing here reads or writes anything; the caller brings the facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.model import Attempt, Direction, Outcome, Revision, Row, Status
from alembic_pgpipe.settings import RetryFailed


class Action(Enum):
    """What is done with a revision that lies on a run's way.

    ``RUN``: run it upwards or downwards.  ``PASS``: let ``alembic_version`` move over
    it without running anything.  ``HOLD``: stop, a person has to decide.
    """

    RUN = "run"
    PASS = "pass"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a revision's files say now; None where it has no such file.

    ``directives`` are those that the checksum leaves out and that change how it runs.
    """

    checksum: str | None = None
    retry: bool = False
    skip: bool = False
    directives: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a revision, and why, in words for the log.

    ``mark`` is a status to write before anything runs: RETRY or SKIPPED.
    ``adopt`` says that it was applied before the ledger was kept.
    """

    action: Action
    why: str = ""
    mark: Status | None = None
    adopt: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A run's decisions, in order: catch-up first, then the pending path."""

    catch_up: tuple[tuple[Revision, Decision], ...]
    pending: tuple[tuple[Revision, Decision], ...]

    @property
    def decisions(self) -> tuple[tuple[Revision, Decision], ...]:
        """Return all decisions in the order in which they take effect."""
        return self.catch_up + self.pending

    @property
    def held(self) -> tuple[Revision, ...]:
        """Return the failed revisions that nobody has decided on."""
        return tuple(r for r, d in self.decisions if d.action is Action.HOLD)


# In place of a file's checksum.
UNREADABLE = "unreadable"
# What a source has decided by ``retry --marked`` is kept as the reason, ahead of any other.
SAYS_RETRY = "its source says --retry"
SAYS_SKIP = "its source says --skip"
# Of the statuses in which a revision runs otherwise; what somebody asked for by name runs.
HEEDING_SKIP = frozenset({Status.WAITING, Status.RUNNING, Status.ROLLED_BACK})


def plan_upgrade(
    applied: Iterable[Revision],
    pending: Iterable[Revision],
    history: History,
    facts: Mapping[str, Facts],
    retry_failed: RetryFailed,
) -> Plan:
    """Decide on the revisions already passed, then on those still ahead.

    The ledger and ``alembic_version`` must agree: see ``ledger/agreement``.
    """
    catch_up = []
    for revision in applied:
        if history.status(revision.id) in (Status.RETRY, Status.ERROR, Status.RUNNING):
            decision = decide_upgrade(revision, history, facts, retry_failed)
            # A passed revision that is to be skipped is simply left where it is.
            if decision.action is not Action.PASS or decision.mark is not None:
                catch_up.append((revision, decision))
    ahead = [(r, decide_upgrade(r, history, facts, retry_failed)) for r in pending]
    return Plan(tuple(catch_up), tuple(ahead))


def decide_upgrade(
    revision: Revision,
    history: History,
    facts: Mapping[str, Facts],
    retry_failed: RetryFailed,
) -> Decision:
    """Decide on one revision that an upgrade meets."""
    row = history.rows.get(revision.id)
    last = history.last_try(revision.id, Direction.UPGRADE)
    decided = history.decisions.get(revision.id)
    fact = facts.get(revision.id, Facts())
    if row is None:
        return _skipped_by_directive() if fact.skip else Decision(Action.RUN)
    if row.status is Status.ERROR:
        return _decide_failed(last, fact, retry_failed)
    if row.status is Status.SUCCESS:
        return _decide_applied(row, last, history.settled.get(revision.id))
    if row.status is Status.SKIPPED:
        return Decision(Action.PASS, f"skipped{_by(decided)}")
    marked = row.status is Status.RETRY and _was_marked(decided)
    if fact.skip and (marked or row.status in HEEDING_SKIP):
        return _skipped_by_directive()
    return Decision(Action.RUN, _why_it_runs(row.status, last, decided))


def decide_downgrade(revision: Revision, history: History) -> Decision:
    """Decide on one revision that a downgrade meets."""
    row = history.rows.get(revision.id)
    if row is None or row.status is Status.SUCCESS:
        return Decision(Action.RUN)
    begun = history.open_try(revision.id, Direction.UPGRADE)
    stays = begun.left_standing if begun is not None else None
    why = f"{stays} and stay as they are" if stays else "so there is nothing to undo"
    return Decision(Action.PASS, f"it is {row.status.value}, {why}")


def _decide_failed(last: Attempt | None, fact: Facts, retry_failed: RetryFailed) -> Decision:
    if fact.skip:
        return _skipped_by_directive()
    if fact.retry:
        return Decision(Action.RUN, SAYS_RETRY, mark=Status.RETRY)
    if retry_failed is RetryFailed.ALWAYS:
        return Decision(Action.RUN, "pgpipe.retry_failed = always", mark=Status.RETRY)
    if last is not None and _has_changed(last, fact) and retry_failed is RetryFailed.CHANGED:
        return Decision(Action.RUN, "its file has changed since it failed", mark=Status.RETRY)
    return Decision(Action.HOLD, "it failed and nobody has decided on it")


def _was_marked(decided: Attempt | None) -> bool:
    """Return whether a source, and nobody by name, has decided that it is tried again."""
    return decided is not None and (decided.reason or "").startswith(SAYS_RETRY)


def _has_changed(last: Attempt, fact: Facts) -> bool:
    # What cannot be read has no checksum to compare: the check ahead of the run says why.
    edited = fact.checksum == UNREADABLE or last.checksum not in (None, fact.checksum)
    return edited or last.directives not in (None, fact.directives)


def _skipped_by_directive() -> Decision:
    return Decision(Action.PASS, SAYS_SKIP, mark=Status.SKIPPED)


def _decide_applied(row: Row, last: Attempt | None, settled: Attempt | None) -> Decision:
    # A hand-made row may never have been given its end.
    at = row.finished_at or row.started_at
    when = f" on {at:%Y-%m-%d %H:%M}" if at else ""
    if settled is not None and settled.outcome is Outcome.REPAIRED:
        return Decision(Action.PASS, f"applied{_by(settled)}")
    if last is None or last.outcome is Outcome.ADOPTED:
        return Decision(Action.PASS, f"applied by another tool{when}", adopt=last is None)
    return Decision(Action.PASS, f"applied{when}", adopt=True)


def _why_it_runs(status: Status, last: Attempt | None, decided: Attempt | None) -> str:
    if status is Status.RUNNING:
        return f"build {_build(last)} was interrupted in it"
    return f"retried{_by(decided)}" if status is Status.RETRY else ""


def _by(last: Attempt | None) -> str:
    if last is None:
        return ""
    why = f": {' '.join(last.reason.split())}" if last.reason else ""
    return f" by {last.who}{why}" if last.who else why


def _build(last: Attempt | None) -> str:
    return last.build_number if last is not None and last.build_number else "?"
