"""What a build made of each revision, as a test report tells it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.model import Attempt, Direction, Outcome, Revision, Status

TRIES = frozenset({Outcome.RUNNING, Outcome.SUCCESS, Outcome.ERROR, Outcome.INTERRUPTED})
DIED = "its run was stopped, or died, before this ended; the next run finishes it"
NOT_REACHED: Mapping[Status, str] = MappingProxyType(
    {
        Status.WAITING: "not reached",
        Status.RETRY: "not reached; it is marked to be run again",
        Status.RUNNING: "not reached; another build is at it, or died there",
        Status.ROLLED_BACK: "rolled back, and not run again",
    }
)

Tried = Mapping[tuple[str, Direction], Attempt]


class Verdict(Enum):
    """How a test report counts a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """One revision in a build's report.

    ``kind`` is the SQLSTATE where the server gave one, ``message`` one line, ``text`` all
    that is known.  ``seconds`` is None where nothing was tried.
    """

    name: str
    file: str
    verdict: Verdict
    message: str = ""
    text: str = ""
    kind: str = ""
    seconds: float | None = None


def build_cases(
    revisions: Iterable[Revision],
    history: History,
    attempts: Iterable[Attempt],
    applied: frozenset[str],
) -> tuple[Case, ...]:
    """Return a case for each revision that a build tried, and each that is not applied.

    ``attempts`` are those of the build, oldest first; the latest in each direction counts.
    Revisions that the project does not have any more come last.
    """
    tried = _latest(attempts)
    known = {revision.id: revision for revision in revisions}
    cases = [case for one in known.values() for case in _cases(one, history, tried, applied)]
    strangers = (one for one in tried.values() if one.revision not in known)
    return (*cases, *tried_cases(strangers))


def tried_cases(attempts: Iterable[Attempt]) -> tuple[Case, ...]:
    """Return a case for each revision that a build tried, where no project can be read."""
    tried = _latest(attempts).values()
    return tuple(_of_try(one, one.name or one.revision, "") for one in tried)


def _latest(attempts: Iterable[Attempt]) -> Tried:
    return {(one.revision, one.direction): one for one in attempts if one.outcome in TRIES}


def _cases(
    revision: Revision, history: History, tried: Tried, applied: frozenset[str]
) -> Iterator[Case]:
    own = [tried[key] for way in Direction if (key := (revision.id, way)) in tried]
    if own:
        yield from (_of_try(one, revision.name, revision.path) for one in own)
        return
    passed = revision.id in applied and revision.id not in history.rows
    status = Status.SUCCESS if passed else history.status(revision.id)
    if status is Status.ERROR:
        yield _held(revision, history)
    elif status is not Status.SUCCESS:
        why = _skipped(revision, history) if status is Status.SKIPPED else NOT_REACHED[status]
        yield Case(revision.name, revision.path, Verdict.SKIPPED, why)


def _of_try(attempt: Attempt, name: str, file: str) -> Case:
    shown = name if attempt.direction is Direction.UPGRADE else f"{name} (downgrade)"
    seconds = attempt.duration_ms / 1000 if attempt.duration_ms is not None else 0.0
    if attempt.outcome is Outcome.SUCCESS:
        return Case(shown, file, Verdict.PASSED, seconds=seconds)
    failed = attempt.outcome is Outcome.ERROR
    text = attempt.message or DIED
    kind = attempt.sqlstate or (Outcome.ERROR if failed else Outcome.INTERRUPTED).value
    return Case(shown, file, Verdict.FAILED, _first_line(text), text, kind, seconds)


def _held(revision: Revision, history: History) -> Case:
    last = history.last_try(revision.id, Direction.UPGRADE)
    row = history.rows[revision.id]
    text = (last.message if last is not None else None) or row.logs or ""
    build = f" in build {last.build_number}" if last is not None else ""
    message = f"held: it failed{build}, and nobody has decided: {_first_line(text)}"
    kind = (last.sqlstate if last is not None else None) or Status.ERROR.value
    return Case(revision.name, revision.path, Verdict.FAILED, message, text, kind)


def _skipped(revision: Revision, history: History) -> str:
    decision = history.decisions.get(revision.id)
    if decision is None or decision.outcome is not Outcome.SKIPPED:
        return "skipped"
    return f"skipped by {decision.who}" + (f": {decision.reason}" if decision.reason else "")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
