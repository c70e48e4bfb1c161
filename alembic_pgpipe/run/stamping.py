"""Let the ledger follow ``alembic stamp``."""

from __future__ import annotations

from dataclasses import dataclass

from alembic_pgpipe.ledger.history import match_history, refuse_unread
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.model import Build, Direction, Outcome, Revision, Row, Status
from alembic_pgpipe.revisions.project import ProjectRevisions


@dataclass(frozen=True, slots=True)
class Stamped:
    """How many revisions a stamp passed in each direction."""

    upwards: int
    downwards: int

    def __str__(self) -> str:
        if not self.upwards and not self.downwards:
            return "stamped: what counts as applied stays as it was"
        return f"stamped: {self.upwards} upwards, {self.downwards} downwards"


def follow_stamp(
    recorder: Recorder,
    revisions: ProjectRevisions,
    before: frozenset[str],
    after: frozenset[str],
    build: Build,
) -> Stamped:
    """Write SUCCESS for what a stamp passed upwards, WAITING for what it passed downwards.

    ``before`` and ``after`` are the ids of all applied revisions.  The recorder is the
    main connection's, so that the stamp and the ledger change in one transaction.
    """
    passed = [revision for revision in revisions.all() if revision.id in before ^ after]
    history = match_history(passed, recorder.reading.rows(), ())
    refuse_unread(history)
    rows = history.rows
    recorder.add_waiting(r for r in passed if r.id not in rows)
    for revision in passed:
        row = rows.get(revision.id) or Row(revision.id, revision.name, Status.WAITING)
        _stamp(recorder, revision, row, build, up=revision.id in after)
    return Stamped(len(after - before), len(before - after))


def _stamp(recorder: Recorder, revision: Revision, row: Row, build: Build, *, up: bool) -> None:
    recorder.set_status(row, Status.SUCCESS if up else Status.WAITING)
    direction = Direction.UPGRADE if up else Direction.DOWNGRADE
    recorder.note(revision, direction, Outcome.STAMPED, build, "alembic stamp")
