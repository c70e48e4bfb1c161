"""The ledger's part of ``alembic upgrade --sql``: statements to be written, not run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Executable, insert
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable

from alembic_pgpipe.ledger.attempt_rows import attempt_values
from alembic_pgpipe.ledger.tables import CLOCK, NAME_LIMIT, Tables
from alembic_pgpipe.model import Build, Direction, Outcome, Revision, Status

REASON = "alembic --sql"
# In the place of an error: a row that a run has moved to RUNNING has none.
BEGUN = "begun by a script of alembic --sql"


def ledger_statements(tables: Tables) -> Iterator[Executable]:
    """Yield what creates the ledger where it is missing."""
    yield CreateSchema(str(tables.metadata.schema), if_not_exists=True)
    for table in tables.metadata.sorted_tables:
        yield CreateTable(table, if_not_exists=True)
        for index in table.indexes:
            yield CreateIndex(index, if_not_exists=True)


def beginning_statement(tables: Tables, revision: Revision) -> Executable:
    """Return what says, ahead of it, that a step has begun which no failure takes back.

    A script that stops in it leaves a row that says so: a person has to look.
    """
    return _row(tables, revision, {**_status_values(Status.RUNNING), "logs": BEGUN})


def record_statements(
    tables: Tables,
    revision: Revision,
    direction: Direction,
    outcome: Outcome,
    build: Build,
    *,
    checksum: str | None,
    total: int | None,
) -> Iterator[Executable]:
    """Yield what records a step, in the step's own transaction."""
    yield _row(tables, revision, _status_values(_status(direction, outcome)))
    # Inline: nobody asks a script which id a row was given.
    yield (
        insert(tables.attempts)
        .inline()
        .values(
            **attempt_values(revision, direction, outcome, build),
            reason=REASON,
            checksum=checksum,
            statements_done=total or 0,
            statements_total=total,
            finished_at=CLOCK,
        )
    )


def _row(tables: Tables, revision: Revision, values: dict[str, Any]) -> Executable:
    name = revision.name[:NAME_LIMIT]
    adding = postgresql.insert(tables.migrations).values(
        id=revision.id, migration_name=name, **values
    )
    return adding.on_conflict_do_update(index_elements=["id"], set_=values)


def _status(direction: Direction, outcome: Outcome) -> Status:
    """Return what a step leaves behind; a stamp downwards leaves WAITING."""
    if outcome is Outcome.SKIPPED:
        return Status.SKIPPED
    if direction is Direction.UPGRADE:
        return Status.SUCCESS
    return Status.WAITING if outcome is Outcome.STAMPED else Status.ROLLED_BACK


def _status_values(status: Status) -> dict[str, Any]:
    values: dict[str, Any] = {"applied_status": status.value, "logs": None}
    if status is Status.SUCCESS:
        values |= {"started_at": CLOCK, "finished_at": CLOCK, "rolled_back_at": None}
    if status is Status.SKIPPED:
        values |= {"finished_at": CLOCK}
    if status is Status.ROLLED_BACK:
        values |= {"rolled_back_at": CLOCK}
    return values
