"""What to write instead, where only the server could know that a statement may not run.

Whether a procedure commits, or a table is partitioned, no text tells: the server refuses
it when the source is run.
"""

from __future__ import annotations

from alembic_pgpipe.source.reader import Statement
from alembic_pgpipe.sqlstates import (
    ACTIVE_TRANSACTION,
    INVALID_TERMINATION,
    NO_ACTIVE_TRANSACTION,
    UNCOMMITTED_VALUE,
)

OFF = "`-- pgpipe: transaction = off`"
ROUTINES = frozenset({"CALL", "DO", "SELECT", "EXECUTE"})


def advice(sqlstate: str | None, statement: Statement) -> str | None:
    """Return what to write instead of a statement that the server refused, or None.

    ``sqlstate`` is the server's own code; None is returned where its message says
    enough.
    """
    first = statement.words[0] if statement.words else ""
    if sqlstate == INVALID_TERMINATION:
        return _commits(first)
    if sqlstate == ACTIVE_TRANSACTION:
        return _needs_to_be_alone(first)
    if sqlstate == NO_ACTIVE_TRANSACTION:
        return (
            "this has an effect inside a transaction only; write BEGIN; and COMMIT; around it"
        )
    if sqlstate == UNCOMMITTED_VALUE:
        return (
            "a value that ALTER TYPE … ADD VALUE adds can be used when it is committed; put "
            "ALTER TYPE into a source of its own, ahead of this one"
        )
    return None


def _commits(first: str) -> str:
    """Return what to write instead of a routine that commits inside the transaction."""
    name = {"CALL": "the procedure", "DO": "the DO block"}.get(first, "a routine")
    what = "DO block" if first == "DO" else "CALL"
    return (
        f"{name} commits or rolls back by itself; put this {what} into a source of its own, "
        f"with {OFF} at the top"
    )


def _needs_to_be_alone(first: str) -> str:
    """Return what to write instead of something that must not be in a transaction."""
    if first == "SET":
        return (
            "a transaction gets its level before anything else; make this the first statement "
            "of the source, or write the level behind BEGIN"
        )
    if first in ROUTINES:
        return (
            "no routine can run that inside a transaction; write the statement itself into a "
            "source of its own"
        )
    return f"put this statement into a source of its own, with {OFF} at the top"
