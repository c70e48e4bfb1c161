"""Where ``alembic_version``, ``migrations`` and ``migration_attempts`` contradict each other.

A step writes the three in one transaction, so they agree unless somebody changed one by
hand, or another tool went past the ledger.  What two of them say can be told; else only a
person can know.  Nothing here reads or writes anything; the caller brings the evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from alembic_pgpipe.errors import UPGRADE
from alembic_pgpipe.ledger.contradiction import Said, contradiction
from alembic_pgpipe.ledger.finding import Finding, ForgetVersion
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.ledger.script import REASON as BY_SCRIPT
from alembic_pgpipe.model import Attempt, Direction, Outcome, Revision, Status
from alembic_pgpipe.showable import counted

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the database says of the project's revisions, all read at one moment.

    ``passed`` are the ids that ``alembic_version`` has passed, ``behind`` those that it
    holds besides one that builds on them, ``unknown`` those that no file of the project
    has.  ``running`` says that a run is at work.  ``lost`` are the versions that it would
    hold if all were passed that the ledger says is applied; empty where it holds any.
    """

    revisions: tuple[Revision, ...]
    passed: frozenset[str]
    history: History
    behind: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    running: bool = False
    lost: tuple[str, ...] = ()


def said_applied(history: History) -> frozenset[str]:
    """Return the ids that both their row and their attempts say are applied."""
    return frozenset(
        id_
        for id_, attempt in history.settled.items()
        if attempt.direction is Direction.UPGRADE and history.status(id_) is Status.SUCCESS
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """What contradicts itself, and what is only worth a note: the next run settles it."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


def agreement(evidence: Evidence) -> Agreement:
    """Compare what the three say; the findings are in the order of the revisions.

    Where ``alembic_version`` holds an unknown revision, nobody can tell what it has passed.
    """
    if evidence.unknown:
        return Agreement(tuple(_unknown(version) for version in evidence.unknown))
    findings = [_behind(version, evidence) for version in evidence.behind]
    watched = _ledger_was_kept(evidence.history)
    for revision in evidence.revisions:
        found = contradiction(_said(revision, evidence), watched=watched)
        if found is not None:
            findings.append(found)
    if evidence.running:
        return Agreement(tuple(findings))
    dead = (_dead(attempt, evidence) for attempt in evidence.history.left_open)
    emptied = _emptied(evidence.lost) if findings else ()
    return Agreement(
        tuple(findings), (*emptied, *dead, *half_undone(evidence), *_strangers(evidence))
    )


def refusal(findings: Iterable[Finding]) -> str | None:
    """Return why a run must not begin, or None where nothing contradicts itself."""
    found = tuple(findings)
    if not found:
        return None
    more = f" And {len(found) - 1} more." if len(found) > 1 else ""
    return (
        f"The ledger and alembic_version contradict each other: {found[0]}.{more} Nothing was "
        "run. See all of it: alembic pgpipe check"
    )


# -- what contradicts itself -----------------------------------------------------------


def _said(revision: Revision, evidence: Evidence) -> Said:
    history = evidence.history
    return Said(
        revision,
        history.rows.get(revision.id) or history.unread.get(revision.id),
        revision.id in evidence.passed,
        history.settled.get(revision.id),
        history.last_try(revision.id, Direction.UPGRADE),
        history.decisions.get(revision.id),
        history.is_begun_unseen(revision.id),
    )


def _unknown(version: str) -> Finding:
    return Finding(
        version,
        "alembic_version",
        f"it holds revision {version!r}, which no file of the project has",
    )


def _behind(version: str, evidence: Evidence) -> Finding:
    known = {revision.id: revision for revision in evidence.revisions}[version]
    return Finding(
        version,
        known.path,
        f"{version} ({known.name}): alembic_version holds it besides one that builds on it, so "
        "that Alembic takes them for two branches",
        ForgetVersion(version),
    )


def _ledger_was_kept(history: History) -> bool:
    """Return whether a run has looked: each run records all that is passed at its time.

    A stamp and a script of ``--sql`` do not.
    """
    return any(
        attempt.outcome is Outcome.ADOPTED
        or (attempt.outcome is Outcome.SUCCESS and attempt.reason != BY_SCRIPT)
        for attempt in history.settled.values()
    )


# -- what is only worth a note ---------------------------------------------------------


def _emptied(lost: Sequence[str]) -> Iterator[str]:
    if lost:
        yield (
            "alembic_version is empty. If all is still there that the ledger says is applied, "
            f"one command says so: alembic stamp {' '.join(lost)}"
        )


def _dead(attempt: Attempt, evidence: Evidence) -> str:
    """Say what becomes of an attempt that is open while nobody is at work."""
    revisions = {revision.id: revision for revision in evidence.revisions}
    revision = revisions.get(attempt.revision)
    name = f"{attempt.revision} ({revision.name})" if revision else attempt.revision
    died = f"{name}: build {attempt.build_number} died in it"
    if revision is not None and _goes_on(attempt, evidence):
        return f"{died}; the next 'alembic {attempt.direction.value}' goes on"
    return f"{died}, and its attempt is still open; the next run closes that"


def _goes_on(attempt: Attempt, evidence: Evidence) -> bool:
    """Return whether the next run in an attempt's direction comes to that attempt."""
    if evidence.history.last_try(attempt.revision, attempt.direction) != attempt:
        return False
    status = evidence.history.status(attempt.revision)
    if attempt.direction is Direction.DOWNGRADE:
        return status is Status.SUCCESS
    if attempt.revision in evidence.passed:
        return status in (Status.RUNNING, Status.RETRY, Status.ERROR)
    return status not in (Status.SUCCESS, Status.SKIPPED)


def half_undone(evidence: Evidence) -> Iterator[str]:
    """Yield what is to be known of revisions that a downgrade has left in the middle."""
    for revision, last in taken_back_in_part(evidence):
        # Of one that is open it is said that its run has died.
        if last not in evidence.history.left_open:
            done, total = len(last.statement_hashes), last.statements_total
            yield (
                f"{revision.id} ({revision.name}) counts as applied, and is taken back in "
                f"part: its downgrade stopped in build {last.build_number}, where {done} of "
                f"{total} statements are done. To finish that, and what stands on it: "
                f"{taking_back(revision)}, then: {UPGRADE}"
            )


def taken_back_in_part(evidence: Evidence) -> Iterator[tuple[Revision, Attempt]]:
    """Yield the revisions that a downgrade has left in the middle, each with that attempt."""
    history = evidence.history
    for revision in evidence.revisions:
        last = history.half_undone(revision.id)
        if last is not None and history.status(revision.id) is Status.SUCCESS:
            yield revision, last


def taking_back(revision: Revision) -> str:
    """Return the command that takes a revision back, and what stands on it."""
    return f"alembic downgrade {revision.id}-1"


def _strangers(evidence: Evidence) -> Iterator[str]:
    """Note the rows that belong to no revision of the project."""
    names = [row.name for row in evidence.history.strangers]
    if names:
        yield (
            f"{counted(len(names), 'row')} of migrations {_belong(len(names))} no revision of "
            f"this project, as after another branch or a file that is gone: {_some(names)}"
        )


def _belong(number: int) -> str:
    return "belongs to" if number == 1 else "belong to"


def _some(names: Collection[str]) -> str:
    shown = sorted(names)[:SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
