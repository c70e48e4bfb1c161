"""Try changed working copies in a rehearsal: could they be shipped, and do the bodies hold?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alembic_pgpipe.model import Problem
from alembic_pgpipe.routines.bodies import Bodies
from alembic_pgpipe.routines.rehearsal import Rehearsal, Where
from alembic_pgpipe.routines.shipment import Shipment
from alembic_pgpipe.routines.shipping import Shipping
from alembic_pgpipe.routines.stage import Stage
from alembic_pgpipe.routines.texts import Texts, latest_texts
from alembic_pgpipe.routines.working import RoutineChange


@dataclass(frozen=True, slots=True)
class Tried:
    """How many pending revisions and changed routine files were run, and where.

    One that failed there was run too.
    """

    where: Where
    revisions: int
    routines: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What is wrong with the files, and what could not be found out.

    ``tried`` is what was run for it; None where nothing was.
    """

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    tried: Tried | None = None


def try_changes(rehearsed: Rehearsal, changes: Sequence[RoutineChange]) -> Trial:
    """Ship the changes as ``wrap`` would, and read the bodies; nothing is written.

    Where plpgsql_check can be had, what it finds in the PL/pgSQL routines of the accepted
    files is among the problems.
    """
    bodies = Bodies(rehearsed)

    def note(shipment: Shipment) -> None:
        for change in shipment.changes:
            bodies.note(change.path, change.new)

    stage = Stage(rehearsed)
    texts = Texts(stage, latest_texts(rehearsed.settings))
    plan = Shipping(stage, texts).plan(changes, note)
    report = bodies.report()
    tried = Tried(rehearsed.where, rehearsed.ran, len(changes))
    return Trial((*plan.problems, *report.problems), report.notes, tried)
