"""What is decided about a change: it is shipped by a revision, or declined for a reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Problem
from alembic_pgpipe.routines.composed import Part
from alembic_pgpipe.routines.working import RoutineChange
from alembic_pgpipe.run.failure import problem_of
from alembic_pgpipe.sending.server_errors import StatementError


@dataclass(frozen=True, slots=True)
class Shipment:
    """One revision to be written: the changes that it ships, its parts, and its undo.

    ``undo`` is None where the snapshot before it undoes it.  ``notes`` say what it does
    besides running the text.
    """

    changes: tuple[RoutineChange, ...]
    parts: tuple[Part, ...]
    undo: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The revisions to be written in order, and why the other changes cannot be shipped."""

    shipments: tuple[Shipment, ...]
    problems: tuple[Problem, ...]


class Declined(Exception):  # noqa: N818  another way may do
    """A change cannot be shipped in this way; None: what was said before is the reason."""

    def __init__(self, reason: Problem | None) -> None:
        super().__init__(str(reason))
        self.problem = reason


@contextmanager
def declining() -> Iterator[None]:
    """Decline a change for what the server, or the reader, says of its text."""
    try:
        yield
    except (StatementError, SourceError) as error:
        raise Declined(problem_of(error)) from error


def problem(change: RoutineChange, message: str) -> Problem:
    """Return what is wrong with a change as a whole."""
    return Problem(change.path, message)
