"""Run a source outside a transaction, so that it survives whatever stops it.

The journal has each statement before it is sent and again when it is done.  A statement
that may be in a transaction gets one of its own, whose end the server remembers; for the
others the next run asks what they left behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.exc import SQLAlchemyError

from alembic_pgpipe.errors import LockError, SourceError
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.model import Attempt, Remnant, UnderWay
from alembic_pgpipe.run.aftermath import UnclearError, judge, look, remains, verify
from alembic_pgpipe.run.effects import (
    effect_of,
    ends_unseen,
    is_atomic,
    is_session_statement,
    lost_with_session,
)
from alembic_pgpipe.run.executor import Executor
from alembic_pgpipe.run.in_session import State, custom_settings, remnants, state_of
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
from alembic_pgpipe.run.server_errors import StatementError, is_unanswered
from alembic_pgpipe.run.set_again import gone, set_again, set_by
from alembic_pgpipe.source import Statement
from alembic_pgpipe.source.loading import Source

POLL_SECONDS = 0.1
OPENS = frozenset({"BEGIN", "START"})
CLOSES = frozenset({"COMMIT", "END"})
# This statement cannot run in a transaction, or it ends the one that it is in.
WANTS_NO_TRANSACTION = frozenset({"25001", "2D000"})


@dataclass(frozen=True, slots=True)
class Notes:
    """Where an attempt's progress is kept, and whom to tell."""

    journal: Recorder
    attempt: int
    revision: str
    say: Callable[[str], None]
    redact: Callable[[str], str]
    is_secret: Callable[[str], bool]


@dataclass(slots=True)
class Alone:
    """One source that runs outside a transaction on one connection.

    ``patience`` is how many seconds it waits for the server to give up what a dead run
    has sent.  ``database`` is the one that the source names, where that is not the run's
    own.  ``done`` counts the statements that are done.
    """

    executor: Executor
    notes: Notes
    source: Source
    patience: float
    database: str | None = None
    done: int = 0
    total: int = 0
    _under_way: UnderWay | None = None
    _identity: tuple[int, float] = (0, 0.0)
    _custom: frozenset[str] = frozenset()
    _first: State = field(default_factory=dict)
    _gone: tuple[Remnant, ...] = ()
    _owed: tuple[Remnant, ...] = ()

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
            self._custom = custom_settings(statements)
            self._first = self._state()
            if before is not None:
                self._resume(statements, before)
            self._write_down(statements)
            for number in range(self.done + 1, self.total + 1):
                self._run(statements, number)
            if self.executor.in_transaction:
                raise self._refusal(statements[-1], "a BEGIN above is never committed")

    @property
    def _ask(self) -> Inquiry:
        return Inquiry(self.executor.connection)

    def _write_down(self, statements: Sequence[Statement]) -> None:
        hashes = [self._hash([statement]) for statement in statements]
        texts = [self.notes.redact(text) for text in excerpts(statements)]
        self.notes.journal.record_statements(
            self.notes.attempt, hashes, texts, self.done, self._left()
        )

    def _state(self) -> State:
        return state_of(self.executor.connection, self._custom)

    def _left(self) -> list[Remnant]:
        """Return what there is in the session of the source's own, or was, and is gone."""
        left = list(remnants(self._first, self._state(), self.notes.is_secret))
        made = {(one.kind, one.name) for one in left}
        more = (*self._gone, *self._owed)
        return left + [one for one in more if (one.kind, one.name) not in made]

    # -- where the attempt before broke off ----------------------------------------------

    def _resume(self, statements: Sequence[Statement], before: Attempt) -> None:
        self.done = len(before.statement_hashes)
        if before.under_way is not None:
            self._await_end(before.under_way, before)
        if self.done < self.total:
            self._set_again(statements, before)
        unseen: list[Remnant] = []
        if before.under_way is not None:
            known = self.done
            self._settle(statements, before, before.under_way)
            unseen = list(self._set_unseen(statements, known))
        if self.done:
            self._say(_resumed(self.done, self.total))
        self._gone = tuple(gone([*before.session, *unseen], statements[self.done :]))
        for remnant in self._gone:
            self._say(f"{remnant.value} {remnant.name} has ended with its session")

    def _set_again(self, statements: Sequence[Statement], before: Attempt) -> None:
        for number, statement in enumerate(statements[: self.done], 1):
            if statement.words[:1] == ("LOAD",):
                self.executor.send(statement, number, self.total)
        following = statements[self.done :]
        self._owed = set_again(
            self.executor.connection, before.session, following, self.source.path
        )

    def _set_unseen(self, statements: Sequence[Statement], known: int) -> Iterator[Remnant]:
        """Set what statements have set of which nobody has seen that they were finished.

        Of what they have left in their session only their texts tell.  Yields what is gone.
        """
        refuse_unset(statements, known, self.done)
        for number, statement in enumerate(statements[known : self.done], known + 1):
            if is_session_statement(statement):
                self.executor.send(statement, number, self.total)
            if (remnant := lost_with_session(statement)) is not None:
                yield remnant

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
                raise SourceError(self.source.path, _still_at_work(statement, before))
            time.sleep(POLL_SECONDS)

    def _settle(
        self, statements: Sequence[Statement], before: Attempt, statement: UnderWay
    ) -> None:
        """Decide about the statement whose end is not recorded, and clean up after it."""
        same = statements[statement.number - 1 : statement.last]
        changed = self._hash(same) != statement.hash
        try:
            judgement = judge(statement, self._ask, edited=changed)
        except UnclearError as unclear:
            raise self._unclear(same, unclear) from unclear
        if judgement.done and changed:
            raise self._changed(same, statement, before)
        for note in judgement.notes:
            self._say(note)
        for command in judgement.commands:
            self.executor.command(command)
        if judgement.done:
            self.done = statement.last
            self._say(_finished(statement, before))

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
            done = frozenset(set_by([statement]))
            self._owed = tuple(one for one in self._owed if one.name.lower() not in done)
            self.notes.journal.record_done(self.notes.attempt, number, self._left())
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
            id_ = self._ask.transaction_id()
            self._note(replace(block, transaction=id_, last=number, hash=whole))
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
            self.executor.commit_after(statement, number, self.total)
        except StatementError as error:
            if error.error.sqlstate not in WANTS_NO_TRANSACTION:
                raise
            self.executor.command("ROLLBACK")
            return False
        return True

    def _by_itself(self, number: int, statement: Statement) -> None:
        """Run a statement that cannot be in a transaction."""
        effect = effect_of(statement.text)
        try:
            view = look(effect, self._ask)
            if view.note:
                self._say(view.note)
            self._begin(number, statement, subject=view.subject, seen=view.seen)
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
        effect = effect_of(statement.text)
        try:
            if not self.executor.is_idle:
                self.executor.command("ROLLBACK")
            if statement.atomic:
                self._note(replace(statement, left=()))
            elif statement.last == statement.number:
                self._note(replace(statement, left=remains(effect, statement, self._ask)))
        except (SQLAlchemyError, LockError):
            # The next run asks again; why this one failed is more important.
            return

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
        self.notes.journal.record_under_way(self.notes.attempt, shown)

    def _unclear(self, statements: Sequence[Statement], unclear: UnclearError) -> SourceError:
        retry = f"alembic pgpipe retry {self.notes.revision}, and: "
        then = f"Then: {'' if unclear.edit else retry}alembic upgrade head"
        message = f"{unclear} {then}"
        if not statements:
            return SourceError(self.source.path, message)
        return self._refusal(statements[0], message)

    def _refusal(self, statement: Statement, message: str) -> SourceError:
        return SourceError(
            statement.path, message, line=statement.line, column=statement.column
        )

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


def _still_at_work(statement: UnderWay, before: Attempt) -> str:
    return (
        f"server process {statement.process} still works on statement {statement.number} of "
        f"build {before.build_number}, which broke off. Wait until it is done, or end it: "
        f"SELECT pg_terminate_backend({statement.process}); Then: alembic upgrade head"
    )
