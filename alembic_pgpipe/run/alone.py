"""Run a source outside a transaction, so that it survives whatever stops it.

The journal has each statement before it is sent and again when it is done.  A statement
that may be in a transaction gets one of its own, whose end the server remembers; for the
others the next run asks what they left behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from alembic_pgpipe.errors import LockError, SourceError
from alembic_pgpipe.ledger.attempts import Attempts
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.model import Attempt, Remnant, RemnantKind, UnderWay
from alembic_pgpipe.run.aftermath import UnclearError, judge, look, remains, verify
from alembic_pgpipe.run.effects import (
    Plain,
    effect_of,
    ends_unseen,
    is_atomic,
    says_done,
)
from alembic_pgpipe.run.executor import Executor
from alembic_pgpipe.run.in_session import InSession
from alembic_pgpipe.run.inquiry import Inquiry
from alembic_pgpipe.run.resume import (
    KEPT_CHARACTERS,
    edited,
    excerpts,
    hashed,
    refuse_edited,
    refuse_moved,
    refuse_unset,
    unfinished,
)
from alembic_pgpipe.run.server_errors import (
    StatementError,
    is_unanswered,
    server_error,
    sqlstate,
)
from alembic_pgpipe.run.set_again import gone, set_again
from alembic_pgpipe.source import Statement
from alembic_pgpipe.source.loading import Source

T = TypeVar("T")
POLL_SECONDS = 0.1
OPENS = frozenset({"BEGIN", "START"})
CLOSES = frozenset({"COMMIT", "END"})
# Between two counts a statement has one transaction, and the second count has one.
OWN = 2
CANCELED = "57014"
NOT_ASKED = (
    "behind each statement the server is asked what it has set, and that was cancelled: {}. A "
    "statement_timeout that the source sets has to be long enough for it"
)
SETTING, SECRET = RemnantKind.SETTING, RemnantKind.SECRET
# This statement cannot run in a transaction, or it ends the one that it is in.
WANTS_NO_TRANSACTION = frozenset({"25001", "2D000"})


@dataclass(frozen=True, slots=True)
class Notes:
    """Where an attempt's progress is kept, and whom to tell.

    ``retry`` is what to type ahead of the next run where only that lets it try again.
    """

    journal: Recorder
    attempt: int
    retry: str
    say: Callable[[str], None]
    redact: Callable[[str], str]
    is_secret: Callable[[str], bool]

    @property
    def attempts(self) -> Attempts:
        """Return where the attempt's progress is written."""
        return self.journal.attempts


@dataclass(slots=True)
class Alone:
    """One source that runs outside a transaction on one connection.

    ``patience`` is how many seconds it waits for the server to give up what a dead run
    has sent.  ``database`` is the one that the source names, where that is not the run's
    own.  ``done`` counts the statements that are done, ``parted`` is the number of one that
    failed and may be done in part.
    """

    executor: Executor
    notes: Notes
    source: Source
    patience: float
    database: str | None = None
    done: int = 0
    total: int = 0
    parted: int | None = None
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
        self.total = len(statements)
        with self.executor.autocommit():
            self._identity = self._ask.identity()
            self._session = InSession.of(
                self.executor.connection, statements, self.notes.is_secret
            )
            if before is not None:
                self._resume(statements, before)
            self._write_down(statements)
            for number in range(self.done + 1, self.total + 1):
                self._run(statements, number)
            if self.executor.in_transaction:
                raise SourceError.at(statements[-1], "a BEGIN above is never committed")

    @property
    def _ask(self) -> Inquiry:
        return Inquiry(self.executor.connection)

    def _write_down(self, statements: Sequence[Statement]) -> None:
        self._asking(self._session.look)
        hashes = [self._hash([statement]) for statement in statements]
        texts = [self.notes.redact(text) for text in excerpts(statements)]
        self.notes.attempts.record_statements(
            self.notes.attempt, hashes, texts, self.done, self._session.left()
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

    # -- where the attempt before broke off ----------------------------------------------

    def _resume(self, statements: Sequence[Statement], before: Attempt) -> None:
        self.done = len(before.statement_hashes)
        session, broken_off = before.session, before.under_way
        if broken_off is not None:
            self._await_end(broken_off, before)
            if broken_off.atomic:
                session = self._settle_transaction(statements, before, broken_off)
        if self.done < self.total:
            self._set_again(statements, session)
        if broken_off is not None and not broken_off.atomic:
            self._settle(statements, before, broken_off)
        if self.done:
            self._say(_resumed(self.done, self.total))
        finished, following = statements[: self.done], statements[self.done :]
        self._session.gone = tuple(gone(session, finished, following))
        for remnant in self._session.gone:
            self._say(f"{remnant.value} {remnant.name} has ended with its session")

    def _set_again(self, statements: Sequence[Statement], session: Sequence[Remnant]) -> None:
        for number, statement in enumerate(statements[: self.done], 1):
            if statement.words[:1] == ("LOAD",):
                self.executor.send(statement, number, self.total)
        following, path = statements[self.done :], self.source.path
        self._session.owed = set_again(self.executor.connection, session, following, path)

    def _settle_transaction(
        self, statements: Sequence[Statement], before: Attempt, broken_off: UnderWay
    ) -> tuple[Remnant, ...]:
        """Decide about what has a transaction; return what there was in the session."""
        known = self.done
        self._settle(statements, before, broken_off)
        if self.done == known or broken_off.session is None:
            return before.session
        changed = set(broken_off.session).symmetric_difference(before.session)
        settings = [one for one in changed if one.kind in (SETTING, SECRET)]
        refuse_unset(statements[known : self.done], statements[self.done :], settings)
        return broken_off.session

    def _await_end(self, statement: UnderWay, before: Attempt) -> None:
        """Wait until the server has given up what the run that died had sent."""
        deadline = time.monotonic() + self.patience
        told = False
        while self._ask.at_work(statement.process, statement.since):
            if not told:
                self._say(
                    f"waiting for server process {statement.process}, which still works on "
                    f"statement {statement.number} of build {before.build_number}"
                )
                told = True
            if time.monotonic() > deadline:
                again = self.notes.journal.again
                said = _still_at_work(statement, before, again)
                raise SourceError(self.source.path, said)
            time.sleep(POLL_SECONDS)

    def _settle(
        self, statements: Sequence[Statement], before: Attempt, statement: UnderWay
    ) -> None:
        """Decide about the statement whose end is not recorded, and clean up after it."""
        same = statements[statement.number - 1 : statement.last]
        changed = self._hash(same) != statement.hash
        said_done = changed and bool(same) and says_done(same[0])
        self.parted = statement.number if statement.parted else None
        try:
            judgement = judge(statement, self._ask, edited=changed, said_done=said_done)
        except UnclearError as unclear:
            raise self._unclear(same, unclear) from unclear
        if judgement.done and changed and not said_done:
            raise self._changed(same, statement, before)
        self.parted = None
        for note in judgement.notes:
            self._say(note)
        for command in judgement.commands:
            self.executor.command(command)
        if judgement.done:
            self.done = statement.last
            self._say(_said_done(statement) if said_done else _finished(statement, before))

    def _changed(
        self, same: Sequence[Statement], statement: UnderWay, before: Attempt
    ) -> SourceError:
        if same:
            return edited(same[0], statement.number, before, statement.text)
        gone = f"statement {statement.number} was finished by build {before.build_number}"
        return SourceError(
            self.source.path,
            f"{gone} and is gone from the file. It was:\n    {statement.text}\nPut it back.",
        )

    # -- one statement -------------------------------------------------------------------

    def _run(self, statements: Sequence[Statement], number: int) -> None:
        statement = statements[number - 1]
        try:
            if self.executor.in_transaction:
                self._continue_block(statements, number)
            elif statement.words[:1] and statement.words[0] in OPENS:
                self._begin(number, statement, atomic=True)
                self.executor.send(statement, number, self.total)
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
            self.done = number
            self._under_way = None

    def _continue_block(self, statements: Sequence[Statement], number: int) -> None:
        """Send a statement inside a block; the block counts when it is closed."""
        statement, block = statements[number - 1], self._under_way
        assert block is not None, "a block was begun without a note"
        whole = self._hash(statements[block.number - 1 : number])
        if ends_unseen(statement):
            text = statement.text
            self._note(replace(block, atomic=False, text=text, last=number, hash=whole))
        elif block.atomic and CLOSES.intersection(statement.words[:1]):
            id_, session = self._ask.transaction_id(), self._asking(self._session.look_ahead)
            closed = replace(block, transaction=id_, session=session)
            self._note(replace(closed, last=number, hash=whole))
        self.executor.send(statement, number, self.total)

    def _in_its_own_transaction(self, number: int, statement: Statement) -> bool:
        """Run a statement so that the server knows whether it is done.

        Returns False where it turns out that it cannot be in a transaction; nothing of
        it is done then.
        """
        self.executor.command("BEGIN")
        self._begin(number, statement, atomic=True, transaction=self._ask.transaction_id())
        try:
            self.executor.send(statement, number, self.total)
            self._note_session()
            self.executor.commit_after(statement, number, self.total)
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
                self._say(view.note)
            self._begin(number, statement, subject=view.subject, seen=view.seen)
            self._count = self._ask.transaction_count()
            self.executor.send(statement, number, self.total)
            if self.executor.is_idle:
                verify(effect, view, self._ask)
        except UnclearError as unclear:
            raise self._unclear([statement], unclear) from unclear

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
            self.parted = statement.number
            return replace(statement, parted=True)
        return replace(statement, left=remains(effect, statement, self._ask))

    # -- small things --------------------------------------------------------------------

    def _hash(self, statements: Sequence[Statement]) -> str:
        return hashed(statements, self.database)

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
                hash=self._hash([statement]),
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

    def _unclear(self, statements: Sequence[Statement], unclear: UnclearError) -> SourceError:
        retry = "" if unclear.edit else self.notes.retry
        message = f"{unclear} Then: {retry}{self.notes.journal.again}"
        if not statements:
            return SourceError(self.source.path, message)
        return SourceError.at(statements[0], message)

    def _say(self, text: str) -> None:
        self.notes.say(f"  {text}")


def _resumed(done: int, total: int) -> str:
    if done == total == 1:
        return "its 1 statement is done already"
    if done == total:
        return f"all {total} statements are done already"
    return f"resumed at statement {done + 1} of {total}"


def _finished(statement: UnderWay, before: Attempt) -> str:
    which = f"statement {statement.number}"
    if statement.last > statement.number:
        which = f"statements {statement.number} to {statement.last}"
    return f"{which} had been finished when build {before.build_number} broke off: passed over"


def _said_done(statement: UnderWay) -> str:
    return f"statement {statement.number} is said to be done by the file: passed over"


def _still_at_work(statement: UnderWay, before: Attempt, again: str) -> str:
    return (
        f"server process {statement.process} still works on statement {statement.number} of "
        f"build {before.build_number}, which broke off. Wait until it is done, or end it: "
        f"SELECT pg_terminate_backend({statement.process}); Then: {again}"
    )
