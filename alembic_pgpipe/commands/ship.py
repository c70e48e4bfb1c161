"""Make revisions of changed working copies, tried on the rehearsal first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_pgpipe.commands.append import Wrapped, append
from alembic_pgpipe.errors import RoutineError
from alembic_pgpipe.rehearsal.database import rehearsal
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.routines.working import RoutineChange
from alembic_pgpipe.settings import read_settings
from alembic_pgpipe.shipping.files import (
    RoutineRevision,
    refuse_present,
    routine_revisions,
    write_files,
)
from alembic_pgpipe.shipping.planning import Shipping
from alembic_pgpipe.shipping.shipment import Plan
from alembic_pgpipe.shipping.stage import Stage
from alembic_pgpipe.shipping.texts import Texts, latest_texts


def ship(
    config: Config,
    changes: Sequence[RoutineChange],
    agree: Callable[[Sequence[Wrapped]], bool],
    *,
    message: str | None,
    together: bool,
    keep_old: bool,
) -> tuple[Wrapped, ...]:
    """Plan on the rehearsal, then write all files.

    ``message``, ``together`` and ``keep_old`` are as in :class:`wrap.Ways`; ``agree`` sees
    the revisions before they are written.  Raises RoutineError where it refuses, and for
    changes that cannot be shipped as they are.
    """
    settings = read_settings(config)
    with rehearsal(config) as opened:
        stage = Stage(opened)
        texts = Texts(stage, latest_texts(settings))
        plan = Shipping(stage, texts, keep_old).plan(changes)
        if plan.problems:
            raise RoutineError(_unshippable(plan))
        made = routine_revisions(stage, plan.shipments, message, together=together)
    revisions = ProjectRevisions(ScriptDirectory.from_config(config), settings)
    wrappers = [one.wrapper for one in made]
    append(revisions, wrappers, write=False)
    refuse_present(settings, made)
    if not agree([_planned(one) for one in made]):
        raise RoutineError("No routine was written, as you wish.")
    for one in made:
        write_files(settings, one)
    return append(revisions, wrappers, write=True)


def _planned(one: RoutineRevision) -> Wrapped:
    return Wrapped(one.wrapper.revision, one.wrapper.source or "", "", one.notes)


def _unshippable(plan: Plan) -> str:
    count = len(plan.problems)
    found = "\n".join(f"  {problem}" for problem in plan.problems)
    files = "This file" if count == 1 else f"These {count} files"
    return f"{files} cannot be shipped, and no routine was written:\n{found}"
