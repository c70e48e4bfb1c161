"""A step that did not come to its end: find out what became of it, record that, say it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from time import sleep

from sqlalchemy.exc import SQLAlchemyError

from alembic_pgpipe.errors import (
    LedgerError,
    LockError,
    PgpipeError,
    StepError,
    UnreachableError,
)
from alembic_pgpipe.model import Failure
from alembic_pgpipe.run.broken_step import BrokenStep
from alembic_pgpipe.run.failure import cause_of
from alembic_pgpipe.run.runner import Runner
from alembic_pgpipe.run.running import Running, what_is_left
from alembic_pgpipe.run.step import Step
from alembic_pgpipe.run.ways_out import ways_out
from alembic_pgpipe.sending.server_errors import is_broken_off, sqlstate
from alembic_pgpipe.sqlstates import DEADLOCK, LOCK_NOT_AVAILABLE, SERIALIZATION_FAILURE

# The same step may succeed next time.
WORTH_ANOTHER_TRY = frozenset({LOCK_NOT_AVAILABLE, DEADLOCK, SERIALIZATION_FAILURE})
FIRST_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Setback:
    """What happens to a step of a run that did not come to its end.

    ``following`` returns what to type to go on from a step, ``look_again`` reads the ledger
    before another try.
    """

    broken: BrokenStep
    following: Callable[[Step], str]
    look_again: Callable[[], None]
    _chance: random.Random = field(default_factory=random.Random)

    @property
    def runner(self) -> Runner:
        """Return what was at the step, and may go on with it."""
        return self.broken.runner

    @property
    def running(self) -> Running:
        """Return how far the step came."""
        return self.broken.running

    def settle(self, error: Exception, tries: int) -> None:
        """Record a failure; return only where the same step is to be tried again.

        What broke the step off may have taken the journal's connection too, or take it a
        moment later; after that there is another one.
        """
        try:
            self._find_out(error, tries)
        except SQLAlchemyError as lost:
            if not is_broken_off(lost):
                raise
            self._refuse_unreachable()
            self._find_out(error, tries)

    def stopped(self) -> None:
        """Write down that the run stops in a step, where the ledger can be reached."""
        try:
            self.broken.interrupt()
            committed = self.broken.committed()
        except (SQLAlchemyError, PgpipeError):
            self._say("  stopped, and the ledger cannot be told: the next run finds it so")
            return
        left = "this revision was committed" if committed else what_is_left(self.running)
        self._say(f"  stopped: {left}")

    def _find_out(self, error: Exception, tries: int) -> None:
        """Find out what became of a step that failed, and record that."""
        if self.broken.can_go_on(error):
            self._refuse_unreachable()
        self._refuse_committed(error)
        self._refuse_without_lock(error)
        again = self._worth_another_try(error, tries)
        failure = self.broken.undo(error, again=again)
        try:
            self.broken.record(error, failure, again=again)
        except (LedgerError, SQLAlchemyError) as unrecorded:
            # What is raised says why that cannot be recorded, and nothing of the step.
            if not is_broken_off(unrecorded):
                self._say_unless_committed(failure, error)
            raise
        self._say_unless_committed(failure, error)
        if not again:
            # A cause's text, and the lines around it, are what the source or the server says.
            cause = error if self.runner.log.may_show(error) else None
            raise self._error(failure, error) from cause
        self._pause(tries)

    def _refuse_unreachable(self) -> None:
        """Stop where the server cannot even be asked what became of a step that broke off."""
        try:
            self.runner.journal.reach()
        except UnreachableError as gone:
            revision, said = self.running.step.revision, str(gone).rstrip(".")
            raise UnreachableError(
                f"The connection was lost in {revision.id} ({revision.name}), and nobody can "
                f"be asked what became of that. {said}. The next run finds out, and goes on: "
                f"{self.following(self.running.step)}"
            ) from gone

    def _refuse_without_lock(self, error: Exception) -> None:
        """Stop where the lock is lost: the step's status may be another run's by now.

        What only broke off has no status to be written, and says itself why it ends.
        """
        if self.broken.can_go_on(error):
            return
        try:
            self.runner.journal.refuse_lost_lock()
        except LockError as lost:
            if not isinstance(error, LockError):
                self._say(f"  {error}")
            self.stopped()
            raise lost from None

    def _say_unless_committed(self, failure: Failure, error: Exception) -> None:
        """Say why a step failed; its commit may have been on its way until now."""
        self._refuse_committed(error)
        self._say(failure.text)

    def _refuse_committed(self, error: Exception) -> None:
        """Raise UnreachableError where the step was committed, whatever has come after."""
        if self.broken.committed():
            revision = self.running.step.revision
            raise UnreachableError(
                f"The run broke off while {revision.id} ({revision.name}) was committed. "
                "The ledger says that it was. Go on: alembic upgrade head"
            ) from error

    def _worth_another_try(self, error: Exception, tries: int) -> bool:
        if not self.running.undone or tries > self.runner.settings.retries:
            return False
        return sqlstate(error) in WORTH_ANOTHER_TRY

    def _pause(self, tries: int) -> None:
        seconds = pause_seconds(tries, self._chance)
        left = self.runner.settings.retries - tries + 1
        self._say(f"  rolled back; tried again in {seconds:.1f} s, up to {left} more times")
        self.look_again()
        sleep(seconds)

    def _error(self, failure: Failure, error: Exception) -> PgpipeError:
        """Return the error that a failed step ends the run with."""
        step, left = self.running.step, what_is_left(self.running)
        if not self.broken.can_go_on(error):
            return self._step_error(step, failure, left)
        return UnreachableError(
            f"The connection was lost in {step.revision.id} ({step.revision.name}): "
            f"{failure.message.rstrip('.')}. {left.capitalize()}. The next run goes on from "
            f"here: {self.following(step)}"
        )

    def _step_error(self, step: Step, failure: Failure, undone: str) -> StepError:
        revision = step.revision
        name = f"{revision.id} ({revision.name})"
        if not step.upwards:
            return StepError(
                f"Downgrade of {name} failed: {failure.message}. It still counts as applied; "
                f"{undone}. Mend {step.file}, then downgrade again.",
                cause_of(revision, failure),
            )
        return StepError(
            f"{name} failed: {failure.message.rstrip('.')}. {undone.capitalize()}. "
            f"To go on, {ways_out(revision, step.file, self.runner.settings.retry_failed)}",
            cause_of(revision, failure),
        )

    def _say(self, text: str) -> None:
        self.runner.log.say(text)


def pause_seconds(tries: int, chance: random.Random) -> float:
    """Return how long to wait after so many tries, in seconds.

    Runs that were in each other's way must not meet again: chance parts them.
    """
    return FIRST_PAUSE_SECONDS * 2.0 ** (tries - 1) * chance.uniform(0.5, 1.5)
