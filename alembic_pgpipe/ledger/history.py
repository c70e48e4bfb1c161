"""The project's revisions and the ledger's rows, brought together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from alembic_pgpipe.errors import LedgerError
from alembic_pgpipe.ledger.script import BEGUN
from alembic_pgpipe.model import (
    Attempt,
    Direction,
    Outcome,
    Revision,
    Row,
    Status,
    UnreadRow,
)

DECISIONS = frozenset({Outcome.RETRY, Outcome.SKIPPED})
# What says of a revision that it is applied, or, downwards, that it is not.
SETTLING = frozenset({Outcome.SUCCESS, Outcome.STAMPED, Outcome.ADOPTED, Outcome.REPAIRED})
BEFORE_THE_LEDGER = "applied before the ledger was kept"
# A run or a person moves a row to these together with an attempt.
WITH_ATTEMPT = frozenset({Status.RUNNING, Status.ERROR, Status.RETRY})
NO_TRIES = DECISIONS | {Outcome.REPAIRED, Outcome.REWORDED}


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger knows of each revision of the project.

    ``tries`` are the latest attempts, ``decisions`` the latest retries and skips that
    somebody asked for.  ``strangers`` are rows that no revision of the project matches.
    ``settled`` are the latest attempts that say whether a revision is applied, and
    ``left_open`` those that are not closed: they run, or their run has died.  ``unread``
    are the rows of revisions whose status is none that we know.  ``reworded`` are the latest
    attempts by which somebody let an edited text count as the one that was applied.
    """

    rows: Mapping[str, Row]
    tries: Mapping[tuple[str, Direction], Attempt]
    decisions: Mapping[str, Attempt]
    strangers: tuple[Row | UnreadRow, ...] = ()
    settled: Mapping[str, Attempt] = field(default_factory=dict)
    left_open: tuple[Attempt, ...] = ()
    unread: Mapping[str, UnreadRow] = field(default_factory=dict)
    reworded: Mapping[str, Attempt] = field(default_factory=dict)

    def status(self, revision: str) -> Status:
        """Return a revision's status; WAITING where no run has seen it yet."""
        row = self.rows.get(revision)
        return row.status if row is not None else Status.WAITING

    def has_row(self, revision: str) -> bool:
        """Return whether a revision has a row, even one that cannot be read."""
        return revision in self.rows or revision in self.unread

    def is_begun_unseen(self, revision: str) -> bool:
        """Return whether a row says that it was begun, and no attempt tells how far.

        A row of the bash tool, which has an id of its own, never had one.
        """
        row = self.rows.get(revision)
        if row is None or row.id != revision or row.status not in WITH_ATTEMPT:
            return False
        if row.status is Status.RUNNING and row.logs == BEGUN:
            return True
        known = (self.last_try(revision, Direction.UPGRADE), self.settled.get(revision))
        return known == (None, None) and revision not in self.decisions

    def half_undone(self, revision: str) -> Attempt | None:
        """Return the downgrade that stopped in the middle of a revision, and left it there."""
        last, settled = self.last_try(revision, Direction.DOWNGRADE), self.settled.get(revision)
        if last is None or not last.begun or (settled is not None and settled.id >= last.id):
            return None
        return last

    def last_try(self, revision: str, direction: Direction) -> Attempt | None:
        """Return the latest attempt of a revision in a direction."""
        return self.tries.get((revision, direction))

    def open_try(self, revision: str, direction: Direction) -> Attempt | None:
        """Return the latest attempt in a direction, unless something has settled it since.

        A repair is no try: behind it there is nothing left to go on from.
        """
        last, settled = self.last_try(revision, direction), self.settled.get(revision)
        return None if last and settled and settled.id > last.id else last


def match_history(
    revisions: Iterable[Revision],
    rows: Iterable[Row | UnreadRow],
    attempts: Iterable[Attempt],
    others: Collection[str] = (),
) -> History:
    """Find each revision's row: by id, else, for the bash tool's rows, by name.

    Of several rows under one name a SUCCESS beats the others, so that nothing runs
    twice; else the latest one counts, and one that cannot be read comes last.  A row of
    ``others``, ids of revisions that are not asked for, is theirs whatever its name.
    """
    known = tuple(revisions)
    by_id = {row.id: row for row in rows}
    ids = {revision.id for revision in known}.union(others)
    names = {revision.name for revision in known}
    unclaimed = sorted((r for r in by_id.values() if r.id not in ids), key=_weight)
    by_name = {row.name: row for row in unclaimed}
    found = {
        revision.id: row
        for revision in known
        if (row := by_id.get(revision.id) or by_name.get(revision.name)) is not None
    }
    latest = sorted(attempts, key=attrgetter("id"))
    return History(
        {id_: row for id_, row in found.items() if isinstance(row, Row)},
        {(a.revision, a.direction): a for a in latest if a.outcome not in NO_TRIES},
        {a.revision: a for a in latest if a.outcome in DECISIONS},
        tuple(row for row in unclaimed if row.name not in names),
        {a.revision: a for a in latest if a.outcome in SETTLING},
        tuple(a for a in latest if a.outcome is Outcome.RUNNING),
        {id_: row for id_, row in found.items() if isinstance(row, UnreadRow)},
        {a.revision: a for a in latest if a.outcome is Outcome.REWORDED},
    )


def refuse_unread(history: History) -> None:
    """Raise LedgerError where a revision's row has a status that nobody knows."""
    for row in history.unread.values():
        statuses = ", ".join(status.value for status in Status)
        raise LedgerError(
            f"migrations says {row.status!r} for {row.name} (id {row.id}); known are "
            f"{statuses}. Nothing was done. Look: alembic pgpipe check. Mend it: alembic "
            "pgpipe repair"
        )


def _weight(row: Row | UnreadRow) -> tuple[int, float]:
    if isinstance(row, UnreadRow):
        return 0, 0.0
    started = row.started_at.timestamp() if row.started_at is not None else 0.0
    return 2 if row.status is Status.SUCCESS else 1, started
