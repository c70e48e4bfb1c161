"""Which steps can be one message each; the next one is read while the server is at work."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from alembic.runtime.migration import RevisionStep

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.ledger.elsewhere import Place
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.ledger.steps import Move
from alembic_pgpipe.model import Row
from alembic_pgpipe.revisions.history_map import UnreadModule
from alembic_pgpipe.run.other_database import is_elsewhere
from alembic_pgpipe.run.planner import Planned
from alembic_pgpipe.run.runner import Runner, Small
from alembic_pgpipe.run.step import Step
from alembic_pgpipe.sending.batch import Batch, only
from alembic_pgpipe.source.transaction import Mode


@dataclass(frozen=True, slots=True)
class Prepared:
    """A step that was prepared before its turn, for these heads; None if it is not small."""

    planned: Planned
    heads: frozenset[str]
    small: Small | None


@dataclass(slots=True)
class SmallSteps:
    """The steps of one run that can be one message, with all that is around them.

    ``versions`` is Alembic's table, where nobody else wants to hear of each step.
    """

    runner: Runner
    versions: Place | None
    _prepared: Prepared | None = None

    def take(self, planned: Planned, heads: frozenset[str], history: History) -> Small | None:
        """Return a step as one message where these are the heads; None where it is none."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared.planned is planned and prepared.heads == heads:
            return prepared.small
        return self._read(planned, heads, history)

    def prepare(self, planned: Planned, heads: frozenset[str], history: History) -> None:
        """Read a step ahead of its turn; an error that this meets waits for that."""
        with suppress(Exception):
            self._prepared = Prepared(planned, heads, self._read(planned, heads, history))

    def forget(self) -> None:
        """Forget what was prepared: what is known of the steps has changed."""
        self._prepared = None

    def _read(self, planned: Planned, heads: frozenset[str], history: History) -> Small | None:
        """Return a step that is only tried, and moves only one version, as one message."""
        step, move = planned.step, self._move(planned, heads)
        if step is None or move is None or step.revision.id in self.runner.watched:
            return None
        row = history.rows.get(step.revision.id)
        if row is None or history.last_try(step.revision.id, step.direction) is not None:
            return None
        batch = self._batch(step)
        return Small(step, row, batch, *self._around(step, row, move), move) if batch else None

    def _move(self, planned: Planned, heads: frozenset[str]) -> Move | None:
        """Return how a wrapper's upgrade moves the version; None where it is not so simple.

        A revision file that is more than the template's may do more than run its source.
        """
        alembic, step = planned.alembic, planned.step
        if self.versions is None or step is None or not step.runs or planned.catch_up:
            return None
        if not isinstance(alembic, RevisionStep) or not alembic.is_upgrade:
            return None
        script = alembic.revision
        down = script.down_revision
        if not isinstance(script.module, UnreadModule) or script.dependencies:
            return None
        if down is None and not heads:
            return Move(self.versions, None, script.revision)
        if not isinstance(down, str) or down not in heads:
            return None
        return Move(self.versions, down, script.revision)

    def _batch(self, step: Step) -> Batch | None:
        """Return the statements of a step as one message; None where they are no such."""
        source = step.source
        if source is None or is_elsewhere(source, self.runner.executor.database):
            return None
        execution = source.execution
        if execution.mode is not Mode.TRANSACTION or execution.begin:
            return None
        try:
            return only(execution.sent(source.statements()))
        except SourceError:
            # The step itself meets it, and says so.
            return None

    def _around(self, step: Step, row: Row, move: Move) -> tuple[str, str]:
        """Return what stands around the statements of a step that is one message."""
        journal = self.runner.journal
        beginning = journal.beginning(self.runner.begins(step, row))
        settling = journal.settling(row, move)
        return self.runner.session.around(step.directives, beginning, settling)
