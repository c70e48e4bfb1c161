"""The project's revisions and the ledger's rows, brought together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alembic_pgpipe.model import Attempt, Direction, Outcome, Revision, Row, Status

DECISIONS = frozenset({Outcome.RETRY, Outcome.SKIPPED})
APPLIED_BY_US = frozenset({Outcome.SUCCESS, Outcome.STAMPED, Outcome.ADOPTED})


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger knows of each revision of the project.

    ``tries`` are the latest attempts, ``decisions`` the latest retries and skips that
    somebody asked for.  ``strangers`` are rows that no revision of the project matches.
    """

    rows: Mapping[str, Row]
    tries: Mapping[tuple[str, Direction], Attempt]
    decisions: Mapping[str, Attempt]
    strangers: tuple[Row, ...] = ()

    def status(self, revision: str) -> Status:
        """Return a revision's status; WAITING where no run has seen it yet."""
        row = self.rows.get(revision)
        return row.status if row is not None else Status.WAITING

    def last_try(self, revision: str, direction: Direction) -> Attempt | None:
        """Return the latest attempt of a revision in a direction."""
        return self.tries.get((revision, direction))


def match_history(
    revisions: Iterable[Revision], rows: Iterable[Row], attempts: Iterable[Attempt]
) -> History:
    """Find each revision's row: by id, else, for the bash tool's rows, by name.

    Of several rows under one name a SUCCESS beats the others, so that nothing runs
    twice; else the latest one counts.
    """
    known = tuple(revisions)
    ids = {revision.id for revision in known}
    by_id = {row.id: row for row in rows}
    by_name: dict[str, Row] = {}
    for unclaimed in sorted((r for r in by_id.values() if r.id not in ids), key=_weight):
        by_name[unclaimed.name] = unclaimed
    found = {
        revision.id: row
        for revision in known
        if (row := by_id.get(revision.id) or by_name.get(revision.name)) is not None
    }
    names = {revision.name for revision in known}
    strangers = tuple(r for r in by_id.values() if r.id not in ids and r.name not in names)
    latest = tuple(attempts)
    tries = {(a.revision, a.direction): a for a in latest if a.outcome not in DECISIONS}
    decisions = {a.revision: a for a in latest if a.outcome in DECISIONS}
    return History(found, tries, decisions, strangers)


def _weight(row: Row) -> tuple[bool, float]:
    started = row.started_at.timestamp() if row.started_at is not None else 0.0
    return row.status is Status.SUCCESS, started
