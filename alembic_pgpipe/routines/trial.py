"""Try changed routine files in a rehearsal: does the server take them, and their bodies?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Problem
from alembic_pgpipe.routines.bodies import Bodies
from alembic_pgpipe.routines.order import Order, try_in_order
from alembic_pgpipe.routines.rehearsal import Rehearsal
from alembic_pgpipe.run.executor import StatementError
from alembic_pgpipe.run.failure import problem_of

Refusal: TypeAlias = StatementError | SourceError
# What is there already stands in the way: a function, a relation, another object.
THERE_ALREADY = frozenset({"42723", "42P07", "42710"})
# PostgreSQL's own advice where CREATE OR REPLACE is not enough.
ADVICE = re.compile(r"Use (?P<drop>DROP (?:FUNCTION|PROCEDURE|AGGREGATE|ROUTINE) .+) first\.\Z")
INVALID_TABLE_DEFINITION = "42P16"
DEPENDENT_OBJECTS = "2BP01"


@dataclass(frozen=True, slots=True)
class RoutineFile:
    """A working copy: its path as people are shown it, and its text."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What is wrong with the files, and what could not be found out."""

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def try_files(rehearsed: Rehearsal, files: Iterable[RoutineFile]) -> Trial:
    """Create what the files say, in an order that the server accepts, and read the bodies.

    Where plpgsql_check can be had, what it finds in the PL/pgSQL routines of the accepted
    files is among the problems.
    """
    bodies = Bodies(rehearsed)

    def attempt(file: RoutineFile) -> None:
        with rehearsed.savepoint():
            _create(rehearsed, file)
        bodies.note(file.path, file.text)

    order: Order[RoutineFile, Refusal] = try_in_order(
        files, attempt, (StatementError, SourceError)
    )
    report = bodies.report()
    wrong = (problem_of(e) for _, e in order.refused if not _is_in_the_way(e))
    untried = (_not_replaced(file, e) for file, e in order.refused if _is_in_the_way(e))
    return Trial((*wrong, *report.problems), (*untried, *report.notes))


def _create(rehearsed: Rehearsal, file: RoutineFile) -> None:
    """Run a file; where the server says what to drop first, that is dropped."""
    try:
        with rehearsed.savepoint():
            rehearsed.run(file.text, file.path)
    except StatementError as error:
        advice = ADVICE.search(error.error.hint or "")
        if advice is None:
            raise
        rehearsed.run(f"{advice['drop']};", file.path)
        rehearsed.run(file.text, file.path)


def _is_in_the_way(error: Refusal) -> bool:
    """Tell whether a file is refused only for what is there: ``wrap`` plans for that."""
    if isinstance(error, SourceError):
        return False
    said = error.error
    if said.sqlstate == INVALID_TABLE_DEFINITION:
        return "view" in said.message
    return said.sqlstate in THERE_ALREADY or said.sqlstate == DEPENDENT_OBJECTS


def _not_replaced(file: RoutineFile, error: Refusal) -> str:
    return (
        f"{file.path} was not tried: it does not replace what is there ({error}). See what "
        "would be done: alembic pgpipe wrap --check"
    )
