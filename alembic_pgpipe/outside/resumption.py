"""Go on with a source outside a transaction where the attempt before broke off."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Attempt, Remnant, RemnantKind, UnderWay
from alembic_pgpipe.outside.aftermath import UnclearError, judge
from alembic_pgpipe.outside.effects import says_done
from alembic_pgpipe.outside.how_far import HowFar
from alembic_pgpipe.outside.in_session import InSession
from alembic_pgpipe.outside.inquiry import Inquiry
from alembic_pgpipe.outside.notes import Notes
from alembic_pgpipe.outside.resume import edited, hashed
from alembic_pgpipe.outside.set_again import gone, refuse_unset, set_again
from alembic_pgpipe.sending.executor import Executor
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.source.reader import Statement

POLL_SECONDS = 0.1
SETTING, SECRET = RemnantKind.SETTING, RemnantKind.SECRET


@dataclass(frozen=True, slots=True)
class Resumption:
    """What has to be known, and done, before the rest of a source can run.

    ``before`` is the attempt that broke off.  ``patience`` is how many seconds the server is
    given to give up what that has sent.  ``database`` is the one that the source names, where
    that is not the run's own.
    """

    executor: Executor
    notes: Notes
    source: Source
    statements: Sequence[Statement]
    before: Attempt
    how_far: HowFar
    patience: float
    database: str | None

    def go_on(self, session: InSession) -> None:
        """Settle what broke off, and have in the session what the rest of the source needs.

        Raises SourceError where nobody can know what is done, or what the rest would find.
        """
        before, statements = self.before, self.statements
        self.how_far.done = len(before.statement_hashes)
        found, broken_off = before.session, before.under_way
        if broken_off is not None:
            self._await_end(broken_off)
            if broken_off.atomic:
                found = self._settle_transaction(broken_off)
        if self.how_far.done < self.how_far.total:
            self._set_again(session, found)
        if broken_off is not None and not broken_off.atomic:
            self._settle(broken_off)
        done = self.how_far.done
        if done:
            self.notes.tell(_resumed(done, self.how_far.total))
        finished, following = statements[:done], statements[done:]
        session.gone = tuple(gone(found, finished, following))
        for remnant in session.gone:
            self.notes.tell(f"{remnant.value} {remnant.name} has ended with its session")

    def _set_again(self, session: InSession, found: Sequence[Remnant]) -> None:
        done, total = self.how_far.done, self.how_far.total
        for number, statement in enumerate(self.statements[:done], 1):
            if statement.words[:1] == ("LOAD",):
                self.executor.send(statement, number, total)
        following, path = self.statements[done:], self.source.path
        session.owed = set_again(self.executor.connection, found, following, path)

    def _settle_transaction(self, broken_off: UnderWay) -> tuple[Remnant, ...]:
        """Decide about what has a transaction; return what there was in the session."""
        known, before = self.how_far.done, self.before.session
        self._settle(broken_off)
        done = self.how_far.done
        if done == known or broken_off.session is None:
            return before
        changed = set(broken_off.session).symmetric_difference(before)
        settings = [one for one in changed if one.kind in (SETTING, SECRET)]
        refuse_unset(self.statements[known:done], self.statements[done:], settings)
        return broken_off.session

    def _await_end(self, statement: UnderWay) -> None:
        """Wait until the server has given up what the run that died had sent."""
        deadline = time.monotonic() + self.patience
        told = False
        while self._ask.at_work(statement.process, statement.since):
            if not told:
                self.notes.tell(
                    f"waiting for server process {statement.process}, which still works on "
                    f"statement {statement.number} of build {self.before.build_number}"
                )
                told = True
            if time.monotonic() > deadline:
                again = self.notes.journal.again
                said = _still_at_work(statement, self.before, again)
                raise SourceError(self.source.path, said)
            time.sleep(POLL_SECONDS)

    def _settle(self, statement: UnderWay) -> None:
        """Decide about the statement whose end is not recorded, and clean up after it."""
        same = self.statements[statement.number - 1 : statement.last]
        changed = hashed(same, self.database) != statement.hash
        said_done = changed and bool(same) and says_done(same[0])
        self.how_far.parted = statement.number if statement.parted else None
        try:
            judgement = judge(statement, self._ask, edited=changed, said_done=said_done)
        except UnclearError as unclear:
            raise self._unclear(same, unclear) from unclear
        if judgement.done and changed and not said_done:
            raise self._changed(same, statement)
        self.how_far.parted = None
        for note in judgement.notes:
            self.notes.tell(note)
        for command in judgement.commands:
            self.executor.command(command)
        if judgement.done:
            self.how_far.done = statement.last
            done = _said_done(statement) if said_done else _finished(statement, self.before)
            self.notes.tell(done)

    def _unclear(self, same: Sequence[Statement], unclear: UnclearError) -> SourceError:
        said, path = self.notes.unclear(unclear), self.source.path
        return SourceError.at(same[0], said) if same else SourceError(path, said)

    def _changed(self, same: Sequence[Statement], statement: UnderWay) -> SourceError:
        before = self.before
        if same:
            return edited(same[0], statement.number, before, statement.text)
        return SourceError(
            self.source.path,
            f"statement {statement.number} was finished by build {before.build_number} and is "
            f"gone from the file. It was:\n    {statement.text}\nPut it back.",
        )

    @property
    def _ask(self) -> Inquiry:
        return Inquiry(self.executor.connection)


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
