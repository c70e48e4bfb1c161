"""What ``retry`` and ``skip`` share: name the revisions, ask the state table, write it down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from alembic_pgpipe.connect.lock import holder, lock_until_commit
from alembic_pgpipe.errors import TransitionError
from alembic_pgpipe.ledger.build import current_build
from alembic_pgpipe.ledger.finding import REPAIR
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.model import Direction, Outcome, Revision, Row, Status
from alembic_pgpipe.project import OpenLedger


@dataclass(frozen=True, slots=True)
class Change:
    """One revision whose status was changed, from what to what.

    ``left_standing`` is what there is of one that is skipped half done.
    """

    revision: Revision
    before: Status
    after: Status
    left_standing: str | None = None


def decide(
    ledger: OpenLedger,
    revisions: Iterable[Revision],
    goal: Status,
    reason: str | None,
    refuse: Callable[[Revision, Status], str | None],
) -> tuple[Change, ...]:
    """Give revisions a new status, all or none, and keep who decided and why.

    Raises TransitionError with each reason where the state table has no such row.
    """
    wanted = tuple(dict.fromkeys(revisions))
    history = ledger.history()
    statuses = [(revision, ledger.status(revision.id, history)) for revision in wanted]
    refusals = [why for r, status in statuses if (why := refuse(r, status)) is not None]
    if goal is Status.RETRY:
        refusals += [_unseen(r) for r in wanted if history.is_begun_unseen(r.id)]
    if refusals:
        raise TransitionError("Nothing was changed: " + "; ".join(refusals) + ".")
    if wanted:
        _write(ledger, history, wanted, goal, reason)
    return tuple(
        Change(revision, before, goal, _left_standing(revision, goal, history))
        for revision, before in statuses
    )


def _left_standing(revision: Revision, goal: Status, history: History) -> str | None:
    last = history.open_try(revision.id, Direction.UPGRADE)
    return last.left_standing if last is not None and goal is Status.SKIPPED else None


def _write(
    ledger: OpenLedger,
    history: History,
    wanted: Iterable[Revision],
    goal: Status,
    reason: str | None,
) -> None:
    settings = ledger.visit.settings
    build = current_build(os.environ, settings.build_number_env)
    with ledger.database.connect() as connection, connection.begin():
        recorder = Recorder.on(connection, settings.schema)
        if ledger.missing:
            recorder.relations.create()
        for revision in wanted:
            row = history.rows.get(revision.id)
            if row is None:
                recorder.add_waiting([revision])
            elif row.status is Status.RUNNING:
                _bury(connection, recorder, history, revision)
            known = row or Row(revision.id, revision.name, Status.WAITING)
            recorder.set_status(known, goal, logs=known.logs)
            recorder.note(revision, Direction.UPGRADE, Outcome(goal.value), build, reason)


def _unseen(revision: Revision) -> str:
    return (
        f"no attempt at {revision.id} ({revision.name}) is recorded, so nobody can tell how "
        f"far it came. If it is applied: {REPAIR} --applied {revision.id}; if it is not: "
        f"{REPAIR} --not-applied {revision.id}"
    )


def _bury(
    connection: Connection, recorder: Recorder, history: History, revision: Revision
) -> None:
    """Close the attempts of a run that died in a revision; with the lock, it is not at it."""
    if not lock_until_commit(connection, recorder.schema):
        raise TransitionError(
            f"Nothing was changed: {revision.id} ({revision.name}) is RUNNING, and the lock "
            f"is held by {holder(connection, recorder.schema) or 'a run'}. Wait for that "
            "build, or stop it, then skip again. Look: alembic pgpipe status"
        )
    for attempt in history.left_open:
        if attempt.revision == revision.id:
            recorder.attempts.interrupt(attempt)
