"""The ledger's part of ``alembic upgrade --sql``: statements to be written, not run."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Executable, func, insert
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateSchema, CreateTable

from alembic_pgpipe.ledger.tables import NAME_LIMIT, Tables
from alembic_pgpipe.model import Build, Direction, Outcome, Revision, Status

STATUS_OF = {Direction.UPGRADE: Status.SUCCESS, Direction.DOWNGRADE: Status.ROLLED_BACK}


def ledger_statements(tables: Tables) -> Iterator[Executable]:
    """Yield what creates the ledger where it is missing."""
    yield CreateSchema(str(tables.metadata.schema), if_not_exists=True)
    for table in tables.metadata.sorted_tables:
        yield CreateTable(table, if_not_exists=True)


def record_statements(
    tables: Tables, revision: Revision, direction: Direction, outcome: Outcome, build: Build
) -> Iterator[Executable]:
    """Yield what records a step, in the step's own transaction.

    A stamp leaves WAITING behind where it passes a revision downwards.
    """
    status = STATUS_OF[direction]
    if outcome is Outcome.STAMPED and direction is Direction.DOWNGRADE:
        status = Status.WAITING
    now = func.clock_timestamp()
    values = {"applied_status": status.value, "finished_at": now, "logs": None}
    adding = postgresql.insert(tables.migrations).values(
        id=revision.id, migration_name=revision.name[:NAME_LIMIT], **values
    )
    yield adding.on_conflict_do_update(index_elements=["id"], set_=values)
    yield insert(tables.attempts).values(
        migration_name=revision.name[:NAME_LIMIT],
        revision=revision.id,
        direction=direction.value,
        outcome=outcome.value,
        build_number=build.number,
        build_id=build.id,
        who=build.who,
        reason="alembic --sql",
        finished_at=now,
    )
