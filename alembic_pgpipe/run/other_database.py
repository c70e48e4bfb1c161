"""A source that names another database: it runs there, and is committed exactly once.

Its transaction id is on the journal before it commits there, so that a later run can ask
the server how that ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection

from alembic_pgpipe.connect.database import Database
from alembic_pgpipe.errors import SourceError, UnreachableError
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.model import Attempt
from alembic_pgpipe.outside.inquiry import Inquiry
from alembic_pgpipe.run.build_log import BuildLog
from alembic_pgpipe.run.quota import rationed
from alembic_pgpipe.run.running import Running
from alembic_pgpipe.sending.driver import DriverConnection
from alembic_pgpipe.sending.executor import Executor
from alembic_pgpipe.sending.other_reading import refuse_escapes
from alembic_pgpipe.sending.session import Session
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.source.transaction import Mode
from alembic_pgpipe.watching.beside import Watching

OTHER_DIRECTIVES = (
    "build {0.build_number} committed this source with other directives: {0.directives}. Put "
    "them back and run again, or skip this revision and write a new one"
)
# What looks after the statements of a step, in a server process.
Watch: TypeAlias = Callable[[DriverConnection], Watching]
RunAlone: TypeAlias = Callable[[Running, Source, Executor], None]


@dataclass(frozen=True, slots=True)
class OtherDatabase:
    """Runs sources in databases that they name; ``main`` is in the run's own."""

    database: Database
    settings: Settings
    journal: Recorder
    log: BuildLog
    main: Connection

    def run(self, running: Running, source: Source, watch: Watch, alone: RunAlone) -> None:
        """Run a source in the database that it names, and commit it there.

        ``alone`` runs it where it cannot be in a transaction.
        """
        with self._connected_to(source) as connection:
            self.log.say(f"  in database {source.directives.database}")
            executor = Executor(connection, watch(DriverConnection(connection)))
            with executor.given_up_where_dead():
                self._run_in(executor, running, source, alone)

    def has_committed(self, running: Running, source: Source) -> bool:
        """Return whether an earlier try has committed this very source there.

        Raises SourceError where it committed another text, or where nobody can know.
        """
        last = self.journal.reading.committing(running.step.revision, running.step.direction)
        if last is None or last.transaction_id is None:
            return False
        status = Inquiry(self.main).transaction_status(last.transaction_id)
        if status == "aborted":
            return False
        running.kept = True
        if status == "committed" and last.directives not in (None, str(source.directives)):
            raise SourceError(source.path, OTHER_DIRECTIVES.format(last))
        if status == "committed" and last.checksum == source.checksum:
            self.log.say(f"  build {last.build_number} had committed it there: passed over")
            return True
        raise SourceError(source.path, _unclear(source, last, status))

    @contextmanager
    def _connected_to(self, source: Source) -> Iterator[Connection]:
        """Connect to the database that a source names; it is to blame where that fails."""
        name = str(source.directives.database)
        elsewhere = self.database.elsewhere(name, "the directive database")
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(elsewhere.connect(own=False))
            except UnreachableError as error:
                raise SourceError(source.path, str(error)) from error
            yield connection

    def _run_in(
        self, executor: Executor, running: Running, source: Source, alone: RunAlone
    ) -> None:
        if not executor.reads_standard_strings:
            refuse_escapes(source, executor.database)
        session = Session(executor, self.settings)
        session.prepare(source.directives)
        with rationed(self.log.say) as say, executor.notices_to(say):
            if source.execution.mode is Mode.AUTOCOMMIT:
                alone(running, source, executor)
                return
            executor.run(source)
            running.at_end = True
            session.leave()
        self._commit(executor.connection, running)

    def _commit(self, connection: Connection, running: Running) -> None:
        transaction = Inquiry(connection).transaction_id()
        self.journal.attempts.record_transaction(running.open_attempt, transaction)
        # From here on a rollback does not take back all of the step.
        running.committing = True
        connection.commit()
        running.kept = True


def is_elsewhere(source: Source, database: str) -> bool:
    """Return whether a source names another database than this one."""
    wanted = source.directives.database
    return wanted is not None and wanted != database


def _unclear(source: Source, last: Attempt, status: str | None) -> str:
    name = source.directives.database
    if status == "committed":
        return (
            f"build {last.build_number} committed an earlier text of this source in database "
            f"{name}. Put that text back and retry, or skip this revision and write a new one."
        )
    if status == "in progress":
        return f"the transaction of build {last.build_number} in database {name} is still open."
    return (
        f"whether build {last.build_number} committed it in database {name} cannot be known "
        "any more. Look there: if it did, skip this revision; if not, write it so that it "
        "may run twice, then retry."
    )
