"""Whether the lock of a run is still held, as a condition of what it writes."""

from __future__ import annotations

from sqlalchemy import Connection, TextClause, select, text

from alembic_pgpipe.errors import LockError
from alembic_pgpipe.ledger.steps import held
from alembic_pgpipe.model import Hold

LOST = (
    "The lock was lost: the server has ended the session that held it, so that another run "
    "may have begun. This one stops where it is. Look what is at work: alembic pgpipe status. "
    "Then go on: "
)


def held_lock(hold: Hold | None) -> TextClause:
    """Return the condition that a run's lock is held; without one, that holds."""
    return text(held(hold))


def refuse_lost_lock(connection: Connection, hold: Hold | None, again: str) -> None:
    """Raise LockError where a run's lock is not held any more; ``again`` is what to type."""
    if not connection.scalar(select(held_lock(hold))):
        raise LockError(LOST + again)
