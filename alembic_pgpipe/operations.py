"""``op.run_source``: the one operation that a wrapper's body uses."""

from __future__ import annotations

from typing import Protocol, cast

from alembic.operations import MigrateOperation, Operations

from alembic_pgpipe.errors import PgpipeError

RUNNER = "pgpipe_runner"


class RunsSources(Protocol):
    """Whatever runs a source now: a step on the server, or a script being written."""

    def run_source(self, file: str) -> None:
        """Run a source."""


@Operations.register_operation("run_source")
class RunSource(MigrateOperation):
    """Run one source, named by its path below the sources folder."""

    def __init__(self, file: str) -> None:
        self.file = file

    @classmethod
    def run_source(cls, operations: Operations, file: str) -> None:
        """Run a source in the current step.

        ``file`` is relative to ``pgpipe.sources``, as in
        ``op.run_source("20260301_users.sql")``.  Raises SourceError where it cannot be
        read or may not run in a transaction.
        """
        operations.invoke(cls(file))


@Operations.implementation_for(RunSource)
def _run_source(operations: Operations, operation: RunSource) -> None:
    runner = operations.migration_context.opts.get(RUNNER)
    if runner is None:
        raise PgpipeError(
            f"op.run_source({operation.file!r}) needs alembic-pgpipe's environment: call "
            "alembic_pgpipe.environment.run(context) in env.py instead of run_migrations()."
        )
    cast("RunsSources", runner).run_source(operation.file)
