"""Which undo files are to be tried on a scratch server: up, down, and up again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import takewhile

from alembic_pgpipe.errors import Cause
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.model import Direction, Outcome, Problem, Revision, Status
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.step import Sources

BASE = "base"
# raise_exception: PL/pgSQL's RAISE without a code.
RAISED = "(P0001)"
LEAVES = (
    "this undo leaves something behind on a scratch server, so that what it undoes fails the "
    "next time"
)


def to_undo(
    revisions: ProjectRevisions, pending: Collection[str], history: History, sources: Sources
) -> str | None:
    """Return down to where the history is to be undone; None where nothing is to be tried.

    That is ahead of the earliest one, of those at its end that are pending and have an undo,
    whose undo has not gone through yet as it is now.
    """
    undoable = takewhile(
        lambda one: history.status(one.id) is Status.SUCCESS and sources.may_undo(one),
        _end(revisions, pending),
    )
    untried = [one for one in undoable if not _has_gone_through(one, history, sources)]
    return next(iter(revisions.parents(untried[-1].id)), BASE) if untried else None


@dataclass(frozen=True, slots=True)
class Undone:
    """What came of trying undo files: what is wrong with one, and what is to be known."""

    problem: Problem | None = None
    notes: tuple[str, ...] = ()


def undone(cause: Cause, direction: Direction, undo: str) -> Undone:
    """Return what came of an undo that stopped, or whose revision did the second time.

    ``undo`` is its file.  One that raises an error of its own says that there is no way back;
    one that leaves something behind may do so for want of a way, as an enum's new value.
    """
    if direction is Direction.UPGRADE:
        return Undone(notes=(f"{undo}: {LEAVES}: {cause.where}: {cause.message}",))
    if RAISED in cause.message:
        return Undone()
    message = f"this undo fails on a scratch server: {cause.message}"
    return Undone(Problem(cause.file, message, cause.line, cause.column))


def _end(revisions: ProjectRevisions, pending: Collection[str]) -> Iterator[Revision]:
    """Yield the pending revisions from the head downwards, as far as there is one line."""
    line = revisions.heads()
    while len(line) == 1 and line[0] in pending:
        if len(parents := revisions.parents(line[0])) > 1:
            return
        yield revisions.get(line[0])
        line = parents


def _has_gone_through(revision: Revision, history: History, sources: Sources) -> bool:
    last = history.last_try(revision.id, Direction.DOWNGRADE)
    undo = sources.undo_file(revision)
    return (
        last is not None
        and last.outcome is Outcome.SUCCESS
        and undo is not None
        and last.checksum == sources.load(undo).checksum
    )
