"""Which undo files are to be tried on a scratch server: up, down, and up again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import takewhile

from alembic_pgpipe.errors import Cause
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.model import Direction, Outcome, Problem, Revision, Status
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.step import Sources

BASE = "base"


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


def fault(cause: Cause, direction: Direction, undo: str) -> Problem:
    """Return what is wrong with an undo; ``undo`` is its file.

    Where it went through and its revision did not a second time, something is left.
    """
    if direction is Direction.DOWNGRADE:
        message = f"this undo fails on a scratch server: {cause.message}"
        return Problem(cause.file, message, cause.line, cause.column)
    return Problem(
        undo,
        "this undo leaves something behind on a scratch server, so that what it undoes fails "
        f"the next time: {cause.where}: {cause.message}",
    )


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
