"""``--sql``: write what a run would send, so that a person can read and run it.

There is no ledger to ask: every revision between the script's two ends counts as one
that no run has seen yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.ledger.script import ledger_statements, record_statements
from alembic_pgpipe.ledger.tables import Tables
from alembic_pgpipe.model import Build, Direction, Outcome, Revision, Status
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.plan import Action, Decision, decide_upgrade
from alembic_pgpipe.run.session import entering, leaving, role_of
from alembic_pgpipe.run.step import Sources, Step
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.source.transaction import Mode

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
        self._say(role_of(self.sources.settings))
        for statement in ledger_statements(self.tables):
            self.context.execute(statement)
        return wanted

    def run_source(self, file: str) -> None:
        """Write a source's statements; what ``op.run_source`` comes to offline."""
        source = self.sources.load(file)
        if source.execution.mode is Mode.AUTOCOMMIT:
            with self.context.autocommit_block():
                self._write(source)
        else:
            self._write(source)
        # Neither the ledger's rows nor the next step may depend on what a source has set.
        self._say(f"{leaving(self.sources.settings)} DISCARD TEMP;")

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
        if not planned.runs:
            step.migration_fn = lambda **_: self._say(f"-- {planned.decision.why}")
        self._planned[revision.id] = planned

    def _upwards(self, revision: Revision) -> Step:
        facts = {revision.id: self.sources.facts(revision)}
        retry_failed = self.sources.settings.retry_failed
        decision = decide_upgrade(revision, UNSEEN, facts, retry_failed)
        return self.sources.step(revision, Direction.UPGRADE, decision)

    def _downwards(self, revision: Revision) -> Step:
        return self.sources.step(revision, Direction.DOWNGRADE, Decision(Action.RUN))

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
        if execution.begin:
            self._say(f"SET TRANSACTION {execution.begin};")
        self._say(entering(self.sources.settings, source.directives))
        for statement in execution.sent(source.statements()):
            text = statement.text if statement.text.endswith(";") else f"{statement.text};"
            self._say(text if statement.data is None else f"{text}\n{statement.data.read()}\\.")

    def _say(self, text: str) -> None:
        if text:
            self.context.impl.static_output(text)
