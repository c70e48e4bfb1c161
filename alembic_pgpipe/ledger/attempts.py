"""The attempts at steps, written: how each begins, what of it is done, how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, extract, func, insert, select, update

from alembic_pgpipe.ledger.attempt_rows import (
    attempt_values,
    failure_values,
    progress_values,
    session_values,
    under_way_values,
)
from alembic_pgpipe.ledger.held_lock import held_lock, refuse_lost_lock
from alembic_pgpipe.ledger.tables import CLOCK, Tables, not_kept
from alembic_pgpipe.model import (
    Attempt,
    Build,
    Direction,
    Failure,
    Hold,
    Outcome,
    Remnant,
    Revision,
    UnderWay,
)


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts in the ledger of one schema, as its recorder writes them."""

    connect: Callable[[], Connection]
    tables: Tables
    hold: Hold | None
    again: str

    def begin(
        self,
        revision: Revision,
        direction: Direction,
        build: Build,
        *,
        checksum: str | None,
        directives: str,
        total: int | None,
        before: Attempt | None,
    ) -> int:
        """Record that a try at a step begins; returns the attempt's id.

        What ``before`` had finished, and what it had under way, stays known.
        """
        adding = insert(self.tables.attempts).values(
            **attempt_values(revision, direction, Outcome.RUNNING, build),
            checksum=checksum,
            directives=directives,
            statements_total=total,
            **(progress_values(before) if before is not None else {}),
        )
        id_ = self.connect().scalar(adding.returning(self.tables.attempts.c.id))
        if id_ is None:
            raise not_kept(self.tables.attempts, f"an attempt at {revision.id}")
        return int(id_)

    def end(
        self,
        attempt: int,
        outcome: Outcome,
        failure: Failure | None = None,
        message: str | None = None,
    ) -> None:
        """Record how a try ended; what has ended already keeps its outcome.

        A ``message`` is kept where there is something to say of one that did not fail.

        A server that crashed may have forgotten that a step had begun which it broke off.
        """
        table = self.tables.attempts
        values: dict[str, Any] = {"outcome": outcome.value, "finished_at": CLOCK}
        elapsed = extract("epoch", CLOCK - table.c.started_at)
        values["duration_ms"] = func.floor(elapsed * 1000)
        if failure is not None:
            values.update(failure_values(failure))
        elif outcome is Outcome.SUCCESS:
            values["statements_done"] = func.coalesce(
                table.c.statements_total, table.c.statements_done
            )
        if message is not None:
            values["message"] = message
        if not self._change(attempt, self._running, **values):
            self._refuse_open(attempt, may_be_gone=outcome is Outcome.INTERRUPTED)

    def _refuse_open(self, attempt: int, *, may_be_gone: bool) -> None:
        """Raise LedgerError unless something says how an attempt ended: perhaps another run."""
        table = self.tables.attempts
        outcome = self.connect().scalar(select(table.c.outcome).where(table.c.id == attempt))
        if outcome == Outcome.RUNNING.value or (outcome is None and not may_be_gone):
            raise not_kept(table, f"how attempt {attempt} ended")

    def interrupt(self, attempt: Attempt) -> None:
        """Close an attempt whose run died before it could say how it ended."""
        why = f"the run of build {attempt.build_number} died in it"
        interrupted = Outcome.INTERRUPTED.value
        self._change(attempt.id, self._running, outcome=interrupted, message=why)

    def record_statements(
        self,
        attempt: int,
        hashes: Sequence[str],
        texts: Sequence[str],
        done: int,
        session: Iterable[Remnant],
    ) -> None:
        """Record all statements of a non-transactional source, and how many are done.

        ``session`` is what there is in the session that is none of its beginning.
        """
        values = {"statement_hashes": list(hashes), "statement_texts": list(texts)}
        self._change(attempt, **values, statements_done=done, session=self._kept(session))

    def record_under_way(self, attempt: int, statement: UnderWay) -> None:
        """Record that a statement is about to be sent, or what became of it.

        Raises LockError where the run's lock is lost.
        """
        text = self.tables.encoding.hold(statement.text)
        values = under_way_values(replace(statement, text=text))
        values["session"] = self.tables.encoding.hold_all(values["session"])
        self._change_with_lock(attempt, under_way=values)

    def record_done(self, attempt: int, done: int, session: Iterable[Remnant]) -> None:
        """Record how many statements are done, and what there is in their session now."""
        left = self._kept(session)
        self._change(attempt, statements_done=done, under_way=None, session=left)

    def record_transaction(self, attempt: int, transaction_id: int) -> None:
        """Record under which transaction id a source is about to commit elsewhere.

        Raises LockError where the run's lock is lost.
        """
        self._change_with_lock(attempt, transaction_id=transaction_id)

    def _kept(self, session: Iterable[Remnant]) -> Any:
        return self.tables.encoding.hold_all(session_values(session))

    @property
    def _running(self) -> ColumnElement[bool]:
        return self.tables.attempts.c.outcome == Outcome.RUNNING.value

    def _change_with_lock(self, attempt: int, **values: Any) -> None:
        if not self._change(attempt, held_lock(self.hold), **values):
            refuse_lost_lock(self.connect(), self.hold, self.again)

    def _change(self, attempt: int, *conditions: Any, **values: Any) -> int:
        table = self.tables.attempts
        change = update(table).where(table.c.id == attempt, *conditions).values(**values)
        return self.connect().execute(change).rowcount
