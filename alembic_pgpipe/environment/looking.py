"""Commands of Alembic's own that change no database: current, show, history, revision, …"""

from __future__ import annotations

import os

from alembic.runtime.environment import EnvironmentContext

from alembic_pgpipe.connect.database import open_database
from alembic_pgpipe.environment.given import Given
from alembic_pgpipe.ledger.autogenerate import leave_alone
from alembic_pgpipe.ledger.elsewhere import Place
from alembic_pgpipe.ledger.tables import NAMES
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.reach import shows_current


def look(environment: EnvironmentContext, given: Given, revisions: ProjectRevisions) -> None:
    """Answer a command from what the database says."""
    with (
        open_database(given.settings, os.environ) as database,
        database.connect(own=False) as connection,
    ):
        given.refuse_versions_elsewhere(connection, revisions)
        own = {Place(given.settings.schema, name) for name in NAMES} | {given.versions}
        include = leave_alone(connection, own, given.options.get("include_object"))
        # Of Alembic's own commands only ``current`` asks not to create alembic_version.
        others = {"connection": connection, "dont_mutate": True, "include_object": include}
        environment.configure(**given.configured() | others)
        if shows_current(environment.context_opts["fn"]):
            revisions.see_recent(environment.get_context().get_current_heads())
        with environment.begin_transaction():
            environment.run_migrations()


def only_ask(environment: EnvironmentContext, given: Given) -> None:
    """Write a new revision without a database, where ``revision_environment`` is set."""
    environment.configure(dialect_name="postgresql", **given.options)
    steps = environment.context_opts["fn"]
    list(steps((), environment.get_context()))


def writes_revision(environment: EnvironmentContext) -> bool:
    """Return whether a new revision is asked for that no database has a part in."""
    revision_context = environment.context_opts.get("revision_context")
    return revision_context is not None and not revision_context.command_args.get(
        "autogenerate"
    )
