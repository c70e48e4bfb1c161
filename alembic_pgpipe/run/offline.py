"""``--sql``: write what a run would send, so that a person can read and run it.

There is no ledger to ask: every revision between the script's two ends counts as one
that no run has seen yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.ledger.script import (
    beginning_statement,
    ledger_statements,
    record_statements,
)
from alembic_pgpipe.ledger.tables import Tables
from alembic_pgpipe.model import Build, Direction, Outcome, Revision, Status
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.plan import Action, Decision, decide_upgrade
from alembic_pgpipe.run.step import Sources, Step, refuse_apart
from alembic_pgpipe.sending.session import (
    DISCARD_OBJECTS,
    OWN_ENCODING,
    entering,
    leaving,
    role_of,
)
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.source.reader import Statement
from alembic_pgpipe.source.transaction import Mode

# psql goes on behind an error unless it is told, and what failed would be recorded as done.
STOP = "\\set ON_ERROR_STOP on"
UNSEEN = History({}, {}, {})


@dataclass(slots=True)
class Offline:
    """Writes sources and the ledger's rows into the script; runs nothing."""

    context: MigrationContext
    revisions: ProjectRevisions
    sources: Sources
    tables: Tables
    build: Build
    heads: frozenset[str] = frozenset()
    _planned: dict[str, Step] = field(default_factory=dict)
    _own: dict[str, Revision] = field(default_factory=dict)

    def begin(
        self, heads: Iterable[str], steps: Iterable[RevisionStep | StampStep]
    ) -> list[RevisionStep | StampStep]:
        """Check every step, then write what creates the ledger; return Alembic's steps.

        ``heads`` is where the script starts.  Raises SourceError before anything is
        written.
        """
        self.heads = frozenset(heads)
        wanted = list(steps)
        for step in wanted:
            if isinstance(step, RevisionStep):
                self._plan(step)
        self._say(STOP)
        self._say(f"{OWN_ENCODING}{role_of(self.sources.settings)}")
        for statement in ledger_statements(self.tables):
            self.context.execute(statement)
        return wanted

    def run_source(self, file: str) -> None:
        """Write a source's statements; what ``op.run_source`` comes to offline."""
        source = self.sources.load(file)
        if file not in self._own:
            refuse_apart(source, self.sources.settings.role)
        if source.execution.mode is Mode.AUTOCOMMIT:
            self.context.execute(beginning_statement(self.tables, self._own[file]))
            with self.context.autocommit_block():
                self._write(source)
        else:
            self._write(source)
        # Neither the ledger's rows nor the next step may depend on what a source has set.
        self._say(f"{leaving(self.sources.settings)}{OWN_ENCODING}{DISCARD_OBJECTS}")

    def on_version_apply(self, *, step: Any, heads: set[str], **_: Any) -> None:
        """Write the ledger's rows; Alembic calls this after each step."""
        before, after = self.revisions.applied(self.heads), self.revisions.applied(heads)
        for revision in self.revisions.all():
            if revision.id in before ^ after:
                self._record(revision, up=revision.id in after, stamped=step.is_stamp)
        self.heads = frozenset(heads)

    def _plan(self, step: RevisionStep) -> None:
        revision = self.revisions.describe(step.revision)
        planned = self._upwards(revision) if step.is_upgrade else self._downwards(revision)
        if planned.directives.database is not None and planned.runs:
            raise SourceError(
                planned.file,
                f"runs in database {planned.directives.database}, and a script runs in one. "
                "Let a run do it: alembic upgrade head",
            )
        if planned.source is not None:
            self._own[planned.source.file] = revision
        if not planned.runs:
            step.migration_fn = lambda **_: self._say(f"-- {planned.decision.why}")
        self._planned[revision.id] = planned

    def _upwards(self, revision: Revision) -> Step:
        facts = {revision.id: self.sources.facts(revision)}
        retry_failed = self.sources.settings.retry_failed
        decision = decide_upgrade(revision, UNSEEN, facts, retry_failed)
        return self.sources.step(revision, Direction.UPGRADE, decision)

    def _downwards(self, revision: Revision) -> Step:
        if self.sources.facts(revision).skip and revision.source is not None:
            raise SourceError(
                self.sources.file(revision),
                "says --skip, so only the ledger knows whether there is something to undo. Let "
                "a run do it: alembic downgrade",
            )
        database = self.sources.database(revision)
        return self.sources.undo(revision, Decision(Action.RUN), database)

    def _record(self, revision: Revision, *, up: bool, stamped: bool) -> None:
        direction = Direction.UPGRADE if up else Direction.DOWNGRADE
        step = self._planned.get(revision.id, Step(revision, direction, Decision(Action.RUN)))
        outcome = Outcome.SUCCESS
        if stamped:
            outcome = Outcome.STAMPED
        elif step.decision.mark is Status.SKIPPED:
            outcome = Outcome.SKIPPED
        for statement in record_statements(
            self.tables,
            revision,
            direction,
            outcome,
            self.build,
            checksum=step.checksum,
            total=step.total,
        ):
            self.context.execute(statement)

    def _write(self, source: Source) -> None:
        execution = source.execution
        statements = execution.sent(source.statements())
        first = next(statements, None)
        sets_level = first is not None and first.words[:2] == ("SET", "TRANSACTION")
        if not self.heads and source.file in self._own and (execution.begin or sets_level):
            # The version table is created ahead of it, and a level must be what comes first.
            with self.context.autocommit_block():
                pass
        if execution.begin:
            self._say(f"SET TRANSACTION {execution.begin};")
        self._say(entering(self.sources.settings, source.directives))
        for statement in chain([first] if first is not None else (), statements):
            self._say(_as_psql_reads(statement))

    def _say(self, text: str) -> None:
        if text:
            self.context.impl.static_output(text)


def _as_psql_reads(statement: Statement) -> str:
    """Return a statement with the rows of its COPY; their end ends its line as they do."""
    text = statement.text if statement.text.endswith(";") else f"{statement.text};"
    if statement.data is None:
        return text
    rows = statement.data.read()
    return f"{text}\n{rows}\\." + ("\r" if rows.endswith("\r\n") else "")
