"""A step that did not come to its end: rolled back, put into words, and written down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy.exc import SQLAlchemyError

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Failure, Outcome, Status
from alembic_pgpipe.run.failure import describe_failure, ending, owner_advice
from alembic_pgpipe.run.runner import Runner
from alembic_pgpipe.run.running import Running, what_is_left
from alembic_pgpipe.sending.server_errors import StatementError, is_broken_off, server_error
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.watching.blockers import Blocker


@dataclass(frozen=True, slots=True)
class BrokenStep:
    """The step that a runner was at when it failed, broke off or was stopped."""

    runner: Runner
    running: Running

    def undo(self, error: BaseException, *, again: bool) -> Failure:
        """Roll the step back; returns why it failed, and whether it is tried ``again``."""
        self.runner.tried = None
        self._roll_back()
        return self._describe(error, again=again)

    def record(self, error: BaseException, failure: Failure, *, again: bool) -> None:
        """Write on the journal how the step failed.

        ``again`` keeps the status RUNNING because the step is tried once more.  So does a
        connection that broke: nobody has to decide anything, the next run goes on.
        """
        running, broken = self.running, self.can_go_on(error)
        self._end_attempt(Outcome.INTERRUPTED if broken else Outcome.ERROR, failure)
        if running.step.upwards and running.row is not None and not (again or broken):
            running.row = self.runner.journal.set_status(
                running.row, Status.ERROR, logs=failure.text, rolled_back=running.undone
            )

    def interrupt(self) -> None:
        """Write on the journal that a person stopped the run; the status stays RUNNING."""
        self._roll_back()
        self._end_attempt(Outcome.INTERRUPTED)

    def can_go_on(self, error: BaseException) -> bool:
        """Return whether only the connection broke, so that the step can simply go on.

        What a Python revision has committed by itself may not be done twice: where there is
        something, a person has to look at it.
        """
        goes_on = self.running.undone or self.running.step.source is not None
        return goes_on and is_broken_off(error)

    def committed(self) -> bool:
        """Ask the ledger on the journal whether a step whose commit broke went through."""
        step, row = self.running.step, self.running.row
        if not self.running.recorded or row is None:
            return False
        rows = self.runner.journal.reading.rows([step.revision])
        return any(one.id == row.id and one.status is step.goal for one in rows)

    def _roll_back(self) -> None:
        try:
            self.runner.main.rollback()
        except SQLAlchemyError:
            # The connection is dead, and with it the transaction.
            self.runner.main.invalidate()

    def _end_attempt(self, outcome: Outcome, failure: Failure | None = None) -> None:
        if self.runner.find_attempt(self.running):
            self.runner.journal.attempts.end(self.running.open_attempt, outcome, failure)

    def _describe(self, error: BaseException, *, again: bool) -> Failure:
        """Return a failure as the log, the ledger and the terminal show it alike."""
        step, settings = self.running.step, self.runner.settings
        failure = describe_failure(
            error,
            step.revision,
            step.source,
            settings.project,
            self._applied_sources(),
            at_end=self.running.at_end,
            recording=self.running.recording,
        )
        left, broken = what_is_left(self.running), self.can_go_on(error)
        end = ending(step, left, again=again, broken=broken)
        from_aws = self.runner.database.from_aws
        owner = owner_advice(failure, settings.role, from_aws=from_aws)
        text = "\n".join([failure.text, *map(str, self._blockers(error)), *owner, end])
        return self.runner.log.redacted(replace(failure, text=text))

    def _blockers(self, error: BaseException) -> tuple[Blocker, ...]:
        """Return who was in the way, where that is why the step failed."""
        if self.runner.watch is None:
            return ()
        if isinstance(error, StatementError):
            said, sql = error.error, error.statement.text
        else:
            said = server_error(error)
            sql = said.message
        return self.runner.watch.blockers.named(said.sqlstate, said.detail, sql)

    def _applied_sources(self) -> Iterator[Source]:
        """Yield the step's own source, then those that the ledger says were applied."""
        if self.running.step.source is not None:
            yield self.running.step.source
        for file in self.runner.applied_files():
            try:
                yield self.runner.sources.load(file)
            except SourceError:
                continue
