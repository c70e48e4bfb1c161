"""``alembic pgpipe status``: where each revision stands, and what has to be decided."""

from __future__ import annotations

from dataclasses import dataclass

from alembic.config import Config

from alembic_pgpipe.connect.lock import holder
from alembic_pgpipe.environment import Visit
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.ledger.states import unsettled
from alembic_pgpipe.model import Direction, Holder, Outcome, Revision, RevisionState, Status
from alembic_pgpipe.project import OpenLedger, open_ledger, visit_project
from alembic_pgpipe.run.step import UNREADABLE, Sources

LAST = 50


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The revisions from the base to the head; ``earlier`` of them are left out.

    None of those failed, runs, is to be retried or was skipped ahead of its turn.

    ``holder`` is the run that is at work now.
    """

    database: str
    revisions: tuple[RevisionState, ...]
    earlier: int
    heads: tuple[str, ...]
    holder: Holder | None


def status(config: Config, *, last: int | None = LAST) -> StatusReport:
    """Return where each revision stands; ``last`` limits it to the latest ones.

    An earlier one with which something is left to be done is there all the same.
    Reads only: neither the ledger nor ``alembic_version`` is created.
    """
    return visit_project(config, lambda visit: _status(visit, last))


def _status(visit: Visit, last: int | None) -> StatusReport:
    with open_ledger(visit) as ledger:
        shown = _shown(ledger, last)
        return StatusReport(
            database=ledger.database.label,
            revisions=shown,
            earlier=len(visit.revisions.ids()) - len(shown),
            heads=ledger.heads,
            holder=holder(ledger.connection, visit.settings.schema),
        )


def _shown(ledger: OpenLedger, last: int | None) -> tuple[RevisionState, ...]:
    known = ledger.visit.revisions
    if last is None:
        return revision_states(ledger, known.all())
    latest = known.latest(last)
    there = set(latest)
    earlier = tuple(one for one in ledger.unsettled() if one not in there)
    states = revision_states(ledger, (*earlier, *latest))
    kept = (s for s in states[: len(earlier)] if unsettled(s.status, passed=s.applied))
    return (*kept, *states[len(earlier) :])


def revision_states(
    ledger: OpenLedger, revisions: tuple[Revision, ...]
) -> tuple[RevisionState, ...]:
    """Return the states of revisions, in their order."""
    history = ledger.history(revisions)
    applied = ledger.visit.revisions.applied(ledger.heads)
    sources = Sources(ledger.visit.settings)
    return tuple(_state(r, history, r.id in applied, sources) for r in revisions)


def _state(
    revision: Revision, history: History, passed: bool, sources: Sources
) -> RevisionState:
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
        notes=tuple(_notes(revision, history, status, passed, sources)),
    )


def _notes(
    revision: Revision, history: History, status: Status, passed: bool, sources: Sources
) -> list[str]:
    notes = []
    row = history.rows.get(revision.id)
    if row is None and passed:
        notes.append("applied before the ledger was kept")
    edited = edited_since(revision, history, status, sources)
    if edited:
        notes.append(edited)
    undone = history.last_try(revision.id, Direction.DOWNGRADE)
    if status is Status.SUCCESS and undone is not None and undone.outcome is Outcome.ERROR:
        notes.append(f"its downgrade failed in build {undone.build_number}")
    if status in (Status.SKIPPED, Status.RETRY) and not passed:
        notes.append("not reached yet")
    return notes


def edited_since(
    revision: Revision, history: History, status: Status, sources: Sources
) -> str | None:
    """Return what became of an applied revision's source since, or None."""
    last = history.last_try(revision.id, Direction.UPGRADE)
    if status is not Status.SUCCESS or last is None or last.checksum is None:
        return None
    if revision.source is None or last.outcome is not Outcome.SUCCESS:
        return None
    now = sources.facts(revision).checksum
    if now == last.checksum:
        return None
    if now == UNREADABLE:
        return "its source is gone or cannot be read"
    return f"its source was edited after build {last.build_number} applied it"
