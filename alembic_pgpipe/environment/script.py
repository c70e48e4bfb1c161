"""``--sql``: what a run would send, as a script for somebody else to run."""

from __future__ import annotations

import os
from typing import Any

from alembic.runtime.environment import EnvironmentContext

from alembic_pgpipe import operations
from alembic_pgpipe.environment.given import Given
from alembic_pgpipe.ledger.build import current_build
from alembic_pgpipe.ledger.tables import ledger_tables
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.offline import Offline
from alembic_pgpipe.run.step import Sources


def write_script(
    environment: EnvironmentContext, given: Given, revisions: ProjectRevisions
) -> None:
    """Print what Alembic was asked for, with the ledger's rows, and ask no database."""
    offline: Offline
    steps, settings = environment.context_opts["fn"], given.settings
    # Doubled percent signs are for a driver that takes parameters; a script has none.
    options: dict[str, Any] = {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}}
    options |= given.configured() | {
        "dialect_name": "postgresql",
        "transaction_per_migration": True,
        "fn": lambda heads, context: offline.begin(heads, steps(heads, context)),
        "on_version_apply": (lambda **kw: offline.on_version_apply(**kw), *given.callbacks),
    }
    environment.configure(**options)
    context = environment.get_context()
    build = current_build(os.environ, settings.build_number_env)
    tables = ledger_tables(settings.schema)
    offline = Offline(context, revisions, Sources(settings), tables, build)
    context.opts[operations.RUNNER] = offline
    with environment.begin_transaction():
        environment.run_migrations()
