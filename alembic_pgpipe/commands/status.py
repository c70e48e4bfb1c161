"""``alembic pgpipe status``: where each revision stands, and what has to be decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alembic.config import Config

from alembic_pgpipe.connect.lock import holder
from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.errors import UPGRADE
from alembic_pgpipe.ledger.agreement import (
    Evidence,
    agreement,
    taken_back_in_part,
    taking_back,
)
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.ledger.states import unsettled
from alembic_pgpipe.model import Direction, Holder, Outcome, Revision, RevisionState, Status
from alembic_pgpipe.project import OpenLedger, open_ledger, visit_project
from alembic_pgpipe.revisions.broken import JOIN
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.edited import difference
from alembic_pgpipe.run.plan import Action, decide_upgrade
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.run.ways_out import ways_out_of

LAST = 50
DIED = "its run died; the next 'alembic upgrade head' goes on with it"


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The revisions from the base to the head; ``earlier`` of them are left out.

    None of those failed, runs, is to be retried or was skipped ahead of its turn.

    ``holder`` is the run that is at work now.  ``agrees`` is whether ``alembic_version`` and
    the ledger say the same of those that are shown; during a run nobody looks.
    ``following`` is what to type next, None where there is nothing to do or a run is at work.
    """

    database: str
    revisions: tuple[RevisionState, ...]
    earlier: int
    heads: tuple[str, ...]
    holder: Holder | None
    agrees: bool
    following: str | None


def status(config: Config, *, last: int | None = LAST) -> StatusReport:
    """Return where each revision stands; ``last`` limits it to the latest ones.

    An earlier one with which something is left to be done is there all the same.
    Reads only: neither the ledger nor ``alembic_version`` is created.
    """
    return visit_project(config, lambda visit: _status(visit, last))


def _status(visit: Visit, last: int | None) -> StatusReport:
    with open_ledger(visit) as ledger:
        # Asked first: what a run commits while the rest is read looks like a contradiction.
        run = holder(ledger.connection, visit.settings.schema)
        heads = ledger.heads
        evidence = _evidence(ledger, heads, last, running=run is not None)
        sources = Sources(visit.settings)
        shown = _states(evidence, sources, last)
        contradicts = visit.revisions.behind(heads) or agreement(evidence).findings
        return StatusReport(
            database=ledger.database.label,
            revisions=shown,
            earlier=len(visit.revisions.ids()) - len(shown),
            heads=heads,
            holder=run,
            agrees=run is not None or not contradicts,
            following=_following(evidence, sources, shown, visit.revisions),
        )


def _following(
    evidence: Evidence,
    sources: Sources,
    states: Iterable[RevisionState],
    revisions: ProjectRevisions,
) -> str | None:
    """Return what to type next; while a run is at work only a decision."""
    _, ways = next(held(evidence, sources), (None, None))
    if ways is not None:
        return ways
    if evidence.running:
        return None
    for revision, _ in taken_back_in_part(evidence):
        # Beside a branch that stays, its note says what there is to know.
        return taking_back(revision) if _is_in_line(revision, evidence, revisions) else None
    if not any(map(_is_to_run, states)):
        return None
    return JOIN if len(revisions.heads()) > 1 else UPGRADE


def _is_in_line(revision: Revision, evidence: Evidence, known: ProjectRevisions) -> bool:
    """Return whether taking a revision back takes along only what builds on it."""
    below = known.parents(revision.id)
    beside = evidence.passed - {revision.id}
    if len(below) > 1:
        return False
    return not any(set(known.parents(id_)) == set(below) for id_ in beside)


def held(evidence: Evidence, sources: Sources) -> Iterator[tuple[Revision, str]]:
    """Yield what failed and nobody has decided on, each with its ways out."""
    history = evidence.history
    for revision in evidence.revisions:
        if history.status(revision.id) is not Status.ERROR:
            continue
        if upcoming_action(revision, history, sources) is Action.HOLD:
            yield revision, ways_out_of(revision, sources)


def upcoming_action(revision: Revision, history: History, sources: Sources) -> Action:
    """Return what an upgrade that meets a revision would do with it."""
    facts = {revision.id: sources.facts(revision)}
    return decide_upgrade(revision, history, facts, sources.settings.retry_failed).action


def _is_to_run(state: RevisionState) -> bool:
    """Return whether the next run does something about a revision."""
    if state.status in (Status.RETRY, Status.RUNNING, Status.ERROR):
        return True
    return not state.applied and state.status is not Status.SUCCESS


def _evidence(
    ledger: OpenLedger, heads: tuple[str, ...], last: int | None, *, running: bool
) -> Evidence:
    """Return what the database says of the revisions that may be shown, and of no others."""
    known = ledger.visit.revisions
    passed = known.applied(heads)
    some = known.all() if last is None else _latest(ledger, passed, last)
    return Evidence(some, passed, ledger.history(some), running=running)


def _latest(ledger: OpenLedger, passed: frozenset[str], last: int) -> tuple[Revision, ...]:
    latest = ledger.visit.revisions.latest(last)
    there = set(latest)
    return (*(one for one in ledger.unsettled(passed) if one not in there), *latest)


def _states(
    evidence: Evidence, sources: Sources, last: int | None
) -> tuple[RevisionState, ...]:
    states = tuple(_state(one, evidence, sources) for one in evidence.revisions)
    earlier = 0 if last is None else max(0, len(states) - last)
    kept = (s for s in states[:earlier] if unsettled(s.status, passed=s.applied))
    return (*kept, *states[earlier:])


def _state(revision: Revision, evidence: Evidence, sources: Sources) -> RevisionState:
    history, passed = evidence.history, revision.id in evidence.passed
    row = history.rows.get(revision.id)
    last = history.last_try(revision.id, Direction.UPGRADE)
    decision = history.decisions.get(revision.id)
    status = history.status(revision.id)
    if row is None and passed:
        status = Status.SUCCESS
    told = decision if status in (Status.SKIPPED, Status.RETRY) else last
    told = told or history.settled.get(revision.id)
    return RevisionState(
        revision=revision,
        status=status,
        applied=passed,
        at=(row.finished_at or row.started_at) if row else None,
        build_number=told.build_number if told else None,
        who=told.who if told else None,
        reason=told.reason if told else None,
        logs=row.logs if row else None,
        notes=tuple(_notes(revision, evidence, status, sources)),
    )


def _notes(
    revision: Revision, evidence: Evidence, status: Status, sources: Sources
) -> Iterator[str]:
    history, passed = evidence.history, revision.id in evidence.passed
    if revision.id not in history.rows and passed:
        yield "applied before the ledger was kept"
    differs = difference(revision, history, sources)
    if differs:
        yield differs
    undone = history.last_try(revision.id, Direction.DOWNGRADE)
    if status is Status.SUCCESS and undone is not None:
        if undone == history.half_undone(revision.id):
            yield f"its downgrade stopped half way in build {undone.build_number}"
        elif undone.outcome is Outcome.ERROR:
            yield f"its downgrade failed in build {undone.build_number}"
    if status is Status.RUNNING and not evidence.running:
        yield DIED
    if status in (Status.SKIPPED, Status.RETRY) and not passed:
        yield "not reached yet"
