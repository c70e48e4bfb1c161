"""Sources that were edited after they were applied: their text is not what the database has."""

from __future__ import annotations

from operator import attrgetter

from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.model import Attempt, Direction, Outcome, Revision, Status
from alembic_pgpipe.run.plan import UNREADABLE
from alembic_pgpipe.run.step import Sources


def difference(revision: Revision, history: History, sources: Sources) -> str | None:
    """Return how an applied revision's source differs from what was applied, or None.

    When it was edited nobody knows: it may have been while that build was at work.
    """
    applied = _applied_text(revision, history)
    if applied is None:
        return None
    now = sources.facts(revision).checksum
    if now == applied.checksum:
        return None
    if now == UNREADABLE:
        return "its source is gone or cannot be read"
    if applied.outcome is Outcome.REWORDED:
        return f"its source differs from the text that {applied.who} let count as applied"
    return f"its source differs from what build {applied.build_number} applied"


def edited_text(revision: Revision, history: History, sources: Sources) -> str | None:
    """Return the checksum of an applied source's edited text; None for one that was not."""
    if difference(revision, history, sources) is None:
        return None
    now = sources.facts(revision).checksum
    return None if now == UNREADABLE else now


def counted_text(revision: str, history: History) -> str | None:
    """Return the checksum of the text that counts as applied, by the latest word on it."""
    said = (history.settled.get(revision), history.reworded.get(revision))
    return max((one for one in said if one is not None), key=attrgetter("id")).checksum


def _applied_text(revision: Revision, history: History) -> Attempt | None:
    """Return the attempt that knows the text which an applied revision has run."""
    if revision.source is None or history.status(revision.id) is not Status.SUCCESS:
        return None
    last = history.last_try(revision.id, Direction.UPGRADE)
    reworded = history.reworded.get(revision.id)
    if reworded is not None and (last is None or reworded.id > last.id):
        return reworded
    if last is None or last.outcome is not Outcome.SUCCESS or last.checksum is None:
        return None
    return last
