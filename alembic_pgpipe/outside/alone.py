"""Run a source outside a transaction, so that it survives whatever stops it.

The journal has each statement before it is sent and again when it is done.  A statement
that may be in a transaction gets one of its own, whose end the server remembers; for the
others the next run asks what they left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from alembic_pgpipe.errors import LockError, SourceError
from alembic_pgpipe.model import Attempt, UnderWay
from alembic_pgpipe.outside.aftermath import UnclearError, look, remains, verify
from alembic_pgpipe.outside.effects import (
    Plain,
    effect_of,
    ends_unseen,
    is_atomic,
)
from alembic_pgpipe.outside.how_far import HowFar
from alembic_pgpipe.outside.in_session import InSession
from alembic_pgpipe.outside.inquiry import Inquiry
from alembic_pgpipe.outside.notes import Notes
from alembic_pgpipe.outside.resume import (
    KEPT_CHARACTERS,
    excerpts,
    hashed,
    refuse_edited,
    refuse_moved,
    unfinished,
)
from alembic_pgpipe.outside.resumption import Resumption
from alembic_pgpipe.sending.executor import Executor
from alembic_pgpipe.sending.server_errors import (
    StatementError,
    is_unanswered,
    server_error,
    sqlstate,
)
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.source.reader import Statement
from alembic_pgpipe.sqlstates import ACTIVE_TRANSACTION, CANCELED, INVALID_TERMINATION

T = TypeVar("T")
OPENS = frozenset({"BEGIN", "START"})
CLOSES = frozenset({"COMMIT", "END"})
# Between two counts a statement has one transaction, and the second count has one.
OWN = 2
NOT_ASKED = (
    "behind each statement the server is asked what it has set, and that was cancelled: {}. A "
    "statement_timeout that the source sets has to be long enough for it"
)
# This statement cannot run in a transaction, or it ends the one that it is in.
WANTS_NO_TRANSACTION = frozenset({ACTIVE_TRANSACTION, INVALID_TERMINATION})


@dataclass(slots=True)
class Alone:
    """One source that runs outside a transaction on one connection.

    ``patience`` is how many seconds it waits for the server to give up what a dead run
    has sent.  ``database`` is the one that the source names, where that is not the run's
    own.
    """

    executor: Executor
    notes: Notes
    source: Source
    how_far: HowFar
    patience: float
    database: str | None
    _under_way: UnderWay | None = None
    _identity: tuple[int, float] = (0, 0.0)
    _count: int = 0
    _session: InSession = field(init=False)

    def run(self, last: Attempt | None) -> None:
        """Run the source's statements from where the attempt before broke off.

        Raises StatementError where the server refuses one, SourceError where it cannot go
        on after that attempt, or where nobody can know what that one has done.
        """
        statements = self.source.kept_statements()
        before = unfinished(last)
        if before is not None:
            refuse_moved(before, self.source.path, self.database)
            refuse_edited(statements, before, self.source.path, self.database)
        self.how_far.total = len(statements)
        with self.executor.autocommit():
            self._identity = self._ask.identity()
            self._session = InSession.of(
                self.executor.connection, statements, self.notes.is_secret
            )
            if before is not None:
                self._resumption(statements, before).go_on(self._session)
            self._write_down(statements)
            for number in range(self.how_far.done + 1, len(statements) + 1):
                self._run(statements, number)
            if self.executor.in_transaction:
                raise SourceError.at(statements[-1], "a BEGIN above is never committed")

    def _resumption(self, statements: Sequence[Statement], before: Attempt) -> Resumption:
        return Resumption(
            self.executor,
            self.notes,
            self.source,
            statements,
            before,
            self.how_far,
            self.patience,
            self.database,
        )

    @property
    def _ask(self) -> Inquiry:
        return Inquiry(self.executor.connection)

    def _write_down(self, statements: Sequence[Statement]) -> None:
        self._asking(self._session.look)
        hashes = [hashed([statement], self.database) for statement in statements]
        texts = [self.notes.redact(text) for text in excerpts(statements)]
        self.notes.attempts.record_statements(
            self.notes.attempt, hashes, texts, self.how_far.done, self._session.left()
        )

    def _asking(self, look: Callable[[], T]) -> T:
        """Ask what there is in the session; the source is to blame where it lets nobody ask."""
        try:
            return look()
        except DBAPIError as error:
            if sqlstate(error) != CANCELED:
                raise
            said = server_error(error).message
            raise SourceError(self.source.path, NOT_ASKED.format(said)) from error

    # -- one statement -------------------------------------------------------------------

    def _run(self, statements: Sequence[Statement], number: int) -> None:
        statement = statements[number - 1]
        try:
            if self.executor.in_transaction:
                self._continue_block(statements, number)
            elif statement.words[:1] and statement.words[0] in OPENS:
                self._begin(number, statement, atomic=True)
                self.executor.send(statement, number, self.how_far.total)
            elif not (is_atomic(statement) and self._in_its_own_transaction(number, statement)):
                self._by_itself(number, statement)
        except StatementError as error:
            self._refused(error)
            raise
        if self.executor.is_idle:
            if not self._session.is_seen:
                self._asking(self._session.look)
            self._session.forget(statement)
            self.notes.attempts.record_done(self.notes.attempt, number, self._session.left())
            self.how_far.done = number
            self._under_way = None

    def _continue_block(self, statements: Sequence[Statement], number: int) -> None:
        """Send a statement inside a block; the block counts when it is closed."""
        statement, block = statements[number - 1], self._under_way
        assert block is not None, "a block was begun without a note"
        whole = hashed(statements[block.number - 1 : number], self.database)
        if ends_unseen(statement):
            text = statement.text
            self._note(replace(block, atomic=False, text=text, last=number, hash=whole))
        elif block.atomic and CLOSES.intersection(statement.words[:1]):
            id_, session = self._ask.transaction_id(), self._asking(self._session.look_ahead)
            closed = replace(block, transaction=id_, session=session)
            self._note(replace(closed, last=number, hash=whole))
        self.executor.send(statement, number, self.how_far.total)

    def _in_its_own_transaction(self, number: int, statement: Statement) -> bool:
        """Run a statement so that the server knows whether it is done.

        Returns False where it turns out that it cannot be in a transaction; nothing of
        it is done then.
        """
        self.executor.command("BEGIN")
        self._begin(number, statement, atomic=True, transaction=self._ask.transaction_id())
        try:
            self.executor.send(statement, number, self.how_far.total)
            self._note_session()
            self.executor.commit_after(statement, number, self.how_far.total)
        except StatementError as error:
            if error.error.sqlstate not in WANTS_NO_TRANSACTION:
                raise
            self.executor.command("ROLLBACK")
            return False
        return True

    def _note_session(self) -> None:
        """Note what a statement has changed in its session: nobody may see its commit."""
        session = self._asking(self._session.look_ahead)
        if session is not None and self._under_way is not None:
            self._note(replace(self._under_way, session=session))

    def _by_itself(self, number: int, statement: Statement) -> None:
        """Run a statement that cannot be in a transaction."""
        effect = effect_of(statement.text)
        try:
            view = look(effect, self._ask)
            if view.note:
                self.notes.tell(view.note)
            self._begin(number, statement, subject=view.subject, seen=view.seen)
            self._count = self._ask.transaction_count()
            self.executor.send(statement, number, self.how_far.total)
            if self.executor.is_idle:
                verify(effect, view, self._ask)
        except UnclearError as unclear:
            raise SourceError.at(statement, self.notes.unclear(unclear)) from unclear

    def _refused(self, error: StatementError) -> None:
        """Note what a statement has left behind that the server refused."""
        statement = self._under_way
        if statement is None or is_unanswered(error):
            return
        try:
            if not self.executor.is_idle:
                self.executor.command("ROLLBACK")
            if statement.atomic:
                self._note(replace(statement, left=()))
            elif statement.last == statement.number:
                self._note(self._after_refusal(statement))
        except (SQLAlchemyError, LockError):
            # The next run asks again; why this one failed is more important.
            return

    def _after_refusal(self, statement: UnderWay) -> UnderWay:
        """Return what a statement that has no transaction has left behind."""
        effect = effect_of(statement.text)
        if effect is Plain.UNKNOWN and self._ask.transaction_count() > self._count + OWN:
            self.how_far.parted = statement.number
            return replace(statement, parted=True)
        return replace(statement, left=remains(effect, statement, self._ask))

    # -- small things --------------------------------------------------------------------

    def _begin(
        self,
        number: int,
        statement: Statement,
        *,
        atomic: bool = False,
        transaction: int | None = None,
        subject: int | None = None,
        seen: tuple[int, ...] = (),
    ) -> None:
        """Note that a statement is about to be sent."""
        text = statement.text[:KEPT_CHARACTERS] if atomic else statement.text
        process, since = self._identity
        self._note(
            UnderWay(
                number=number,
                last=number,
                text=text,
                hash=hashed([statement], self.database),
                process=process,
                since=since,
                atomic=atomic,
                transaction=transaction,
                subject=subject,
                seen=seen,
            )
        )

    def _note(self, statement: UnderWay) -> None:
        self._under_way = statement
        shown = replace(statement, text=self.notes.redact(statement.text))
        self.notes.attempts.record_under_way(self.notes.attempt, shown)
