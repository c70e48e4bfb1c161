"""Send a source to the server, by psycopg2 itself.

The text goes out unchanged: ``cursor.execute(text)`` without parameters is the one
call that leaves ``%`` alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import ServerError
from alembic_pgpipe.sending.batch import Ahead, Batch, batches
from alembic_pgpipe.sending.driver import DriverConnection, Notices
from alembic_pgpipe.sending.other_reading import refuse_other_reading
from alembic_pgpipe.sending.rows import send_rows
from alembic_pgpipe.sending.server_errors import StatementError, server_error
from alembic_pgpipe.sending.waiting import Watch, interruptible
from alembic_pgpipe.source.advice import advice
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.source.reader import Statement
from alembic_pgpipe.sqlstates import CANCELED, CONSTRAINT, LOCK_NOT_AVAILABLE

SAVEPOINT = "pgpipe_batch"
# Of a message with a BEGIN of its own: it is not sent, or there is an error behind it.
REFUSED = frozenset({TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR})
# How long a statement may wait for a lock when it is repeated because one has timed out.
REPEAT_MILLISECONDS = 100
# Of a query, pg_stat_activity shows a kilobyte (PostgreSQL docs, track_activity_query_size):
# who looks there is to see what the source says, not what stands around it.
SEEN_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Tried:
    """What the server said of statements that were one message; nothing of them is left.

    Its first ``heard`` notices have been handed on, and it took so many ``seconds``.  It was
    ``theirs`` where one of them was refused, and not what stood around them.
    """

    said: ServerError
    heard: int
    seconds: float
    theirs: bool = True


@dataclass(frozen=True, slots=True)
class Executor(DriverConnection):
    """Runs the statements of a source on one connection; ``watch`` looks around meanwhile."""

    watch: Watch | None = None

    def run_at_once(
        self,
        before: str,
        batch: Batch,
        after: str,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Tried | None:
        """Run a batch in a transaction of its own, which takes one message.

        ``before`` stands ahead of its BEGIN, ``after`` ahead of its COMMIT; ``meanwhile``
        is called once while the server is at work.  Returns None where it is committed;
        what the server refuses is rolled back.  Raises StatementError where the connection
        was lost: then it may be either.
        """
        total = len(batch.statements)
        self._tell_watch(batch.number, total)
        # Where a statement has ended the transaction, its savepoint is gone.
        text = (
            f"{_seen_first(batch)}{before}BEGIN;SAVEPOINT {SAVEPOINT};\n{batch.text}\n"
            f"RELEASE SAVEPOINT {SAVEPOINT};{after}COMMIT"
        )
        with self.autocommit():
            tried = self._try(text, batch, total, meanwhile, REFUSED)
            return tried and replace(tried, theirs=self._is_within_savepoint())

    def run(self, source: Source, tried: Tried | None = None) -> None:
        """Run a source's statements in the transaction that is open.

        Those of the first message may have been ``tried`` in vain.  Statements that share
        a message are repeated one by one where it fails, so that the error names the one
        that caused it.  Raises StatementError where the server refuses one, SourceError
        where one ended the transaction, or where the file has changed.
        """
        execution = source.execution
        if execution.begin:
            self.command(f"SET TRANSACTION {execution.begin}")
        ahead = Ahead(batches(execution.sent(source.statements())))
        while (batch := ahead.take()) is not None:
            if len(batch.statements) == 1 and tried is None:
                self.send(batch.statements[0], batch.number, execution.total)
            else:
                self._send_together(batch, execution.total, ahead.prepare, tried)
            tried = None
            self._refuse_ended(batch.statements[-1])

    def send(self, statement: Statement, number: int, total: int) -> None:
        """Send one statement; raises StatementError where the server refuses it."""
        has_rows = statement.data is not None
        refuse_other_reading(self, statement, statement.text, has_rows=has_rows)
        self._tell_watch(number, total)
        try:
            with self._driver.cursor() as cursor:
                if statement.data is None:
                    with interruptible(self._driver, self.watch):
                        cursor.execute(statement.text)
                else:
                    send_rows(cursor, statement.text, statement.data, self.watch)
        except psycopg2.Error as error:
            said = server_error(error, statement)
            raise StatementError(said, statement, number, total) from error

    def commit_after(self, statement: Statement, number: int, total: int) -> None:
        """Commit the transaction that one statement was given; an error is its own."""
        try:
            self.command("COMMIT")
        except psycopg2.Error as error:
            raise StatementError(server_error(error), statement, number, total) from error

    def _refuse_ended(self, statement: Statement) -> None:
        if self.in_transaction:
            return
        raise SourceError.at(
            statement,
            "this statement ended the step's transaction. Keep transaction control out "
            "of the source, or accept the risk with '-- pgpipe: transaction = off'.",
        )

    def _tell_watch(self, number: int, total: int) -> None:
        if self.watch is not None:
            self.watch.begin(number, total)

    def _send_together(
        self, batch: Batch, total: int, meanwhile: Callable[[], None], tried: Tried | None
    ) -> None:
        """Send a batch as one message; where it fails, find the statement that is to blame.

        ``meanwhile`` is called once while the server is at work.
        """
        refuse_other_reading(self, batch.statements[0], batch.text)
        # Whom it waited for where it was tried has been seen, and is not to be forgotten.
        if tried is None:
            self._tell_watch(batch.number, total)
        self.command(f"SAVEPOINT {SAVEPOINT}")
        tried = tried or self._try(batch.text, batch, total, meanwhile)
        if tried is not None:
            self.command(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")
            # A deadlock is gone with what the savepoint has given back, and a serialization
            # failure comes at once: both are repeated like any other error.
            if tried.said.sqlstate in (LOCK_NOT_AVAILABLE, CANCELED):
                self._repeat_in_haste(batch, total, tried)
            else:
                self._repeat(batch, total, tried.heard)
                _refuse_forgotten(tried, batch, total)
        self.command(f"RELEASE SAVEPOINT {SAVEPOINT}")

    def _is_within_savepoint(self) -> bool:
        """Return whether the transaction has failed behind our savepoint, and go back to it."""
        try:
            self.command(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")
        except psycopg2.Error:
            return False
        return True

    def _try(
        self,
        text: str,
        batch: Batch,
        total: int,
        meanwhile: Callable[[], None] = lambda: None,
        refused: Collection[int] = (TRANSACTION_STATUS_INERROR,),
    ) -> Tried | None:
        """Send one message that holds a batch; return what came of it where it is refused.

        ``refused`` are the states that a transaction may be in then.

        The error itself may be of any size: it is not kept while the batch is repeated.
        """
        before, began = self._notice_count, time.monotonic()
        try:
            with (
                self._driver.cursor() as cursor,
                interruptible(self._driver, self.watch, meanwhile),
            ):
                cursor.execute(text)
        except psycopg2.Error as error:
            said = server_error(error)
            if self._driver.info.transaction_status not in refused:
                raise StatementError(said, batch.statements[0], batch.number, total) from error
            return Tried(said, self._notice_count - before, time.monotonic() - began)
        return None

    def _repeat_in_haste(self, batch: Batch, total: int, tried: Tried) -> None:
        """Repeat a batch that waited in vain, without waiting as long again.

        Whoever has to wait now is to blame.  What a person has cancelled is not repeated.
        """
        said = tried.said
        limits = self.timeouts
        # The server's words would tell a person from a time-out, but in its own language.
        patience = limits.get("statement_timeout", 0)
        if said.sqlstate == CANCELED and not 0 < patience <= tried.seconds * 1000:
            first = batch.statements[0]
            raise StatementError(_one_of(batch, said), first, batch.number, total)
        own = limits.get("lock_timeout", 0)
        haste = min(own or REPEAT_MILLISECONDS, REPEAT_MILLISECONDS)
        self.command(f"SET LOCAL lock_timeout = {haste}")
        try:
            # Whom the batch waited for has been seen: the watch is not to begin anew.
            replace(self, watch=None)._repeat(batch, total, tried.heard)  # noqa: SLF001
        except StatementError as again:
            if (
                again.error.sqlstate != LOCK_NOT_AVAILABLE
                or said.sqlstate == LOCK_NOT_AVAILABLE
            ):
                raise
            hint = said.hint or advice(said.sqlstate, again.statement)
            error = replace(said, hint=hint)
            raise StatementError(error, again.statement, again.number, total) from again
        self.command(f"SET LOCAL lock_timeout = {own}")

    def _repeat(self, batch: Batch, total: int, heard: int) -> None:
        if isinstance(self._driver.notices, Notices):
            self._driver.notices.heard = heard
        for number, statement in enumerate(batch.statements, batch.number):
            self.send(statement, number, total)
        # What failed once may go another way the second time, and say less.
        if isinstance(self._driver.notices, Notices):
            self._driver.notices.heard = 0

    @property
    def _notice_count(self) -> int:
        notices = self._driver.notices
        return notices.said if isinstance(notices, Notices) else 0


def _seen_first(batch: Batch) -> str:
    """Return a comment with the beginning of a batch and its file's name."""
    # The database may lack its characters; those of the source it has to have.
    path = batch.statements[0].path.encode("ascii", "backslashreplace").decode()
    text = f"{path}\n{batch.text[:SEEN_CHARACTERS]}"
    return f"/* {text.replace('*/', '* /').replace('/*', '/ *')} */\n"


def _refuse_forgotten(tried: Tried, batch: Batch, total: int) -> None:
    """Raise StatementError where a constraint refused a batch, and the repeat went through.

    A sequence does not go back, so that a key that was taken is another one then.  psql
    would have stopped.
    """
    if tried.theirs and (tried.said.sqlstate or "").startswith(CONSTRAINT):
        raise StatementError(
            _one_of(batch, tried.said), batch.statements[0], batch.number, total
        )


def _one_of(batch: Batch, said: ServerError) -> ServerError:
    """Return an error of which only the batch is known."""
    last, number = batch.statements[-1], batch.number + len(batch.statements) - 1
    hint = (
        f"it was one of statements {batch.number} to {number}, from here to "
        f"{last.path}:{last.line}:{last.column}, which are sent together"
    )
    return replace(said, hint=hint)
