"""``alembic pgpipe skip``: let the pipeline go on without a revision."""

from __future__ import annotations

from collections.abc import Sequence

from alembic.config import Config

from alembic_pgpipe.commands.decide import Change, decide
from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.errors import SettingsError
from alembic_pgpipe.ledger.states import refuse_skip
from alembic_pgpipe.model import Status
from alembic_pgpipe.project import open_ledger, visit_project

COMMAND = 'alembic pgpipe skip {} --reason "…"'


def skip(config: Config, names: Sequence[str], *, reason: str) -> tuple[Change, ...]:
    """Mark revisions SKIPPED: runs pass them until somebody asks to retry them.

    ``names`` are revision ids, unique prefixes or names of sources; ``reason`` is kept
    with who asked.  Raises RevisionError for an unknown name and TransitionError for a
    revision that is applied, or that a run is at.
    """
    if not reason.strip():
        raise SettingsError(f"A skip needs a reason: {COMMAND.format('REV')}")

    def look(visit: Visit) -> tuple[Change, ...]:
        named = [visit.revisions.resolve(name, COMMAND) for name in names]
        with open_ledger(visit) as ledger:
            return decide(ledger, named, Status.SKIPPED, reason, refuse_skip)

    return visit_project(config, look)
