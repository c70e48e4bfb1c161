"""One step: start it on the journal, run it, record it in its own transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import SQLAlchemyError

from alembic_pgpipe.connect.database import Database
from alembic_pgpipe.errors import SourceError, UnreachableError
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.ledger.steps import Beginning, Move
from alembic_pgpipe.model import Attempt, Outcome, Row
from alembic_pgpipe.outside.how_far import HowFar
from alembic_pgpipe.outside.resume import refuse_transaction, unfinished
from alembic_pgpipe.run.build_log import BuildLog
from alembic_pgpipe.run.other_database import OtherDatabase, is_elsewhere
from alembic_pgpipe.run.quota import rationed
from alembic_pgpipe.run.running import Running
from alembic_pgpipe.run.step import EMPTY, Sources, Step, refuse_apart
from alembic_pgpipe.sending.batch import Batch
from alembic_pgpipe.sending.driver import DriverConnection
from alembic_pgpipe.sending.executor import Executor, Tried
from alembic_pgpipe.sending.session import Session
from alembic_pgpipe.sending.stopping import cancelled_by_signals
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.showable import counted
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.source.transaction import Mode
from alembic_pgpipe.watching.beside import Reporter, Watching
from alembic_pgpipe.watching.blockers import Blockers
from alembic_pgpipe.watching.display import Display
from alembic_pgpipe.watching.progress import Schedule

if TYPE_CHECKING:
    from alembic_pgpipe.watching.onlooker import Onlooker

OPEN_TRANSACTION = "SELECT 1"
SCHEDULE = Schedule()
ENDED = (
    "this revision ended the transaction of its step by itself (commit or rollback), so that "
    "neither its version nor its status could be written with it. Remove that; what cannot run "
    "in a transaction goes into op.get_context().autocommit_block()"
)
LEFT = "this revision left the program (SystemExit); raise another error where it cannot go on"


@dataclass(frozen=True, slots=True)
class Small:
    """A step that can be one message: its statements, and what stands around them.

    ``move`` is how it moves the version.
    """

    step: Step
    row: Row
    batch: Batch
    before: str
    after: str
    move: Move


@dataclass(slots=True)
class Runner:
    """Runs steps on the main connection; the journal keeps what must survive a rollback.

    ``display`` is where a person sees how far a step is; without one, the log says it.
    ``tried`` is what came of a step that was begun as one message, and goes on.  What the
    revisions ``watched`` hold up is kept in the messages of their attempts.
    """

    database: Database
    settings: Settings
    main: Connection
    journal: Recorder
    log: BuildLog
    sources: Sources
    applied_files: Callable[[], Iterable[str]] = tuple
    display: Display | None = None
    running: Running | None = None
    watch: Watching | None = None
    tried: Tried | None = None
    watched: Collection[str] = frozenset()
    onlooker: Onlooker | None = None

    @property
    def executor(self) -> Executor:
        """Return the executor on the main connection."""
        return Executor(self.main, self.watch)

    @property
    def session(self) -> Session:
        """Return the session state of the main connection."""
        return Session(self.executor, self.settings)

    # -- the life of a step ------------------------------------------------------------

    def run(
        self, step: Step, row: Row | None, last: Attempt | None, body: Callable[[], None]
    ) -> None:
        """Run a step's body; Alembic then moves its version and calls ``record``."""
        running = self.running
        if running is None or self.tried is None:
            running = self.running = self._start(step, row, last)
            self.watch = self._watching(self.executor)
        else:
            self.journal.refuse_lost_lock()
        with self.executor.given_up_where_dead():
            self._look_on(step)
            self.session.prepare(step.directives)
            with (
                rationed(self.log.say) as say,
                self.executor.notices_to(say),
                cancelled_by_signals(self.executor.canceller()),
            ):
                self._run_body(running, _unstoppable(step, body))
                running.at_end = True
                self.session.leave(transactional=step.transactional)
                running.recording = True

    def run_at_once(self, small: Small, meanwhile: Callable[[], None]) -> bool:
        """Run a step as one message, with its version and its end in the ledger.

        ``meanwhile`` is called once while the server is at work.
        Returns whether it is committed.  Where it is not, nothing of it is left, and
        ``run`` goes on with it.
        """
        step, row = small.step, small.row
        running = self.running = Running(step, row, None, None)
        self.watch = self._watching(self.executor)
        # Whoever loses the connection now has to look into the ledger.
        running.recorded = True
        executor = self.executor
        with (
            executor.given_up_where_dead(),
            self._shown(),
            rationed(self.log.say) as say,
            executor.notices_to(say),
        ):
            self.tried = executor.run_at_once(small.before, small.batch, small.after, meanwhile)
        if self.tried is not None and not self.find_attempt(running):
            # Why it cannot begin is no failure of the step.
            self.running = None
            running = self.running = self._start(step, row, None)
        running.recorded = self.tried is None
        return running.recorded

    def begins(self, step: Step, row: Row, before: Attempt | None = None) -> Beginning:
        """Return what the ledger has of a step from its beginning on."""
        build = self.log.build
        said = str(step.directives)
        return Beginning(row, step.revision, build, step.checksum, said, step.total, before)

    def find_attempt(self, running: Running) -> bool:
        """Learn whether a step that was one message has begun: it has an attempt then."""
        if running.attempt is None and running.row is not None:
            revision = running.step.revision
            found = self.journal.begun(running.row, revision, self.log.build)
            if found is not None:
                running.row, running.attempt = found
        return running.attempt is not None

    @contextmanager
    def _shown(self) -> Iterator[None]:
        """Take from the display, in the end, how far a step is."""
        try:
            yield
        finally:
            if self.display is not None:
                self.display.hide()

    def _watching(self, driver: DriverConnection) -> Watching:
        """Return what looks after the statements of the current step on a connection."""
        say = self.log.say if self.display is None else self.log.note
        name, process = self._current().step.revision.name, driver.pid
        reporter = Reporter(name, process, self._ask, say, self.display, SCHEDULE)
        return Watching(Blockers(self._ask, process), reporter, self.log.flush)

    def _ask(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Ask on the journal, which may be another connection by now; nothing without one."""
        try:
            journal = self.journal.connection
        except (SQLAlchemyError, UnreachableError):
            return []
        return DriverConnection(journal).ask_briefly(sql, values)

    def _run_body(self, running: Running, body: Callable[[], None]) -> None:
        """Run what Alembic would run, and see whether its transaction outlives it."""
        if running.step.source is not None:
            body()
            return
        self.executor.command(OPEN_TRANSACTION)
        with self._noting_commits(running):
            body()
        if not running.kept and not self.executor.in_transaction:
            running.kept = True
            raise SourceError(running.step.file, ENDED)

    def keep(self) -> None:
        """Note that the current step has committed something by itself."""
        self._current().kept = True

    @contextmanager
    def _noting_commits(self, running: Running) -> Iterator[None]:
        """Note where a Python revision commits, as in an ``autocommit_block``."""

        def note(_connection: Connection) -> None:
            running.kept = True

        event.listen(self.main, "commit", note)
        try:
            yield
        finally:
            event.remove(self.main, "commit", note)

    @property
    def recorder(self) -> Recorder:
        """Return the recorder within the step's own transaction."""
        return replace(self.journal, connect=lambda: self.main)

    def record(self) -> None:
        """Write SUCCESS, or ROLLED_BACK, in the transaction of the step itself.

        Raises LockError where the lock is lost: nothing is committed then.
        """
        running = self._current()
        seen, recorder = self._seen(running.step), self.recorder
        if running.row is None:
            recorder.refuse_lost_lock()
        else:
            recorder.set_status(running.row, running.step.goal)
        recorder.attempts.end(running.open_attempt, Outcome.SUCCESS, message=seen)
        running.recorded = True

    def _look_on(self, step: Step) -> None:
        """Begin to look at what a step holds up, where somebody wants to know."""
        self.onlooker = None
        if step.upwards and step.revision.id in self.watched:
            from alembic_pgpipe.watching.onlooker import Onlooker

            self.onlooker = Onlooker(self.executor, self._ask)
            self.onlooker.begin(transactional=step.transactional)

    def _seen(self, step: Step) -> str | None:
        """Return what was seen of the step that is about to be committed."""
        if self.onlooker is None:
            return None
        return str(self.onlooker.end(transactional=step.transactional))

    def finish(self) -> None:
        """Say in the log that the step is committed."""
        running = self._current()
        seconds = time.monotonic() - running.began
        done = "applied" if running.step.upwards else "rolled back"
        self.log.say(f"  {done} in {_duration(seconds)}{_extent(running.step)}")
        self.running = None

    def _start(self, step: Step, row: Row | None, last: Attempt | None) -> Running:
        before = unfinished(last)
        if step.upwards and row is not None:
            row, attempt = self.journal.begin(
                self.begins(step, row, before),
                durable=not step.transactional or step.source is None,
            )
        else:
            self.journal.refuse_lost_lock()
            attempt = self.journal.attempts.begin(
                step.revision,
                step.direction,
                self.log.build,
                checksum=step.checksum,
                directives=str(step.directives),
                total=step.total,
                before=before,
            )
        if last is not None and last.outcome is Outcome.RUNNING:
            self.journal.attempts.interrupt(last)
        return Running(step, row, attempt, last)

    def _current(self) -> Running:
        assert self.running is not None, "no step is running"
        return self.running

    # -- a source ----------------------------------------------------------------------

    def run_source(self, file: str) -> None:
        """Run a source inside the current step; what ``op.run_source`` comes to."""
        running = self._current()
        own = running.step.source
        with self._shown():
            if own is not None and own.file == file:
                self._run_loaded(running, own, own=True)
            else:
                self._run_loaded(running, self.sources.load(file), own=False)

    def _run_loaded(self, running: Running, source: Source, *, own: bool) -> None:
        if not own:
            refuse_apart(source, self.settings.role, self.executor.database)
        if own and source.execution.mode is Mode.TRANSACTION:
            refuse_transaction(source.path, running.last)
        if own and running.last is not None and self._other.has_committed(running, source):
            return
        if own and self._leaves(source):
            self._other.run(running, source, self._watching, self._run_alone)
        elif source.execution.mode is Mode.TRANSACTION:
            tried, self.tried = self.tried, None
            with self.session.heeding(None if own else source.directives):
                self.executor.run(source, tried)
        else:
            self._run_alone(running, source, self.executor)

    def _run_alone(self, running: Running, source: Source, executor: Executor) -> None:
        """Run a source without a transaction, from where the try before it stopped."""
        from alembic_pgpipe.outside.alone import Alone
        from alembic_pgpipe.outside.notes import Notes

        again = f"alembic pgpipe retry {running.step.revision.id}, and: "
        notes = Notes(
            journal=self.journal,
            attempt=running.open_attempt,
            retry=again if running.step.upwards else "",
            say=self.log.say,
            redact=self.log.redact,
            is_secret=self.log.is_secret,
        )
        database = source.directives.database if self._leaves(source) else None
        patience = self.settings.lock_wait
        running.how_far = HowFar()
        alone = Alone(executor, notes, source, running.how_far, patience, database)
        alone.run(running.last)

    def _leaves(self, source: Source) -> bool:
        """Return whether a source runs in another database than the run's own."""
        return is_elsewhere(source, self.executor.database)

    @property
    def _other(self) -> OtherDatabase:
        return OtherDatabase(self.database, self.settings, self.journal, self.log, self.main)


def _unstoppable(step: Step, body: Callable[[], None]) -> Callable[[], None]:
    """Return a body that cannot end the run as if all were well."""

    def run() -> None:
        try:
            body()
        except SystemExit as error:
            raise SourceError(step.file, LEFT) from error

    return run


def _extent(step: Step) -> str:
    """Return how much a step was, as the end of a line of the log."""
    if step.total is None:
        return ""
    return f", {counted(step.total, 'statement')}" if step.total else f": {step.file} {EMPTY}"


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
