"""``--sql``: write what a run would send, so that a person can read and run it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alembic.runtime.migration import MigrationContext

from alembic_pgpipe.ledger.script import ledger_statements, record_statements
from alembic_pgpipe.ledger.tables import Tables
from alembic_pgpipe.model import Build, Direction, Outcome
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.source import Execution, Mode, is_session_setting

LEAVE = "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL;"


@dataclass(slots=True)
class Offline:
    """Writes sources and the ledger's rows into the script; runs nothing."""

    context: MigrationContext
    revisions: ProjectRevisions
    sources: Sources
    tables: Tables
    build: Build
    heads: frozenset[str] = frozenset()

    def begin(self, heads: Iterable[str]) -> None:
        """Write what creates the ledger; ``heads`` is where the script starts."""
        self.heads = frozenset(heads)
        for statement in ledger_statements(self.tables):
            self.context.execute(statement)

    def run_source(self, file: str) -> None:
        """Write a source's statements; what ``op.run_source`` comes to offline."""
        execution = self.sources.execution(self.sources.load(file))
        if execution.mode is Mode.AUTOCOMMIT:
            with self.context.autocommit_block():
                self._write(execution)
        else:
            self._write(execution)

    def on_version_apply(self, *, step: Any, heads: set[str], **_: Any) -> None:
        """Write the ledger's rows; Alembic calls this after each step."""
        before, after = self.revisions.applied(self.heads), self.revisions.applied(heads)
        for revision in self.revisions.all():
            if revision.id in before ^ after:
                up = revision.id in after
                direction = Direction.UPGRADE if up else Direction.DOWNGRADE
                outcome = Outcome.STAMPED if step.is_stamp else Outcome.SUCCESS
                for statement in record_statements(
                    self.tables, revision, direction, outcome, self.build
                ):
                    self.context.execute(statement)
        self.heads = frozenset(heads)

    def _write(self, execution: Execution) -> None:
        out = self.context.impl.static_output
        if execution.begin:
            out(f"SET TRANSACTION {execution.begin};")
        for statement in execution.statements:
            text = statement.text if statement.text.endswith(";") else f"{statement.text};"
            out(text if statement.data is None else f"{text}\n{statement.data}\\.")
        if any(is_session_setting(statement) for statement in execution.statements):
            out(LEAVE)
