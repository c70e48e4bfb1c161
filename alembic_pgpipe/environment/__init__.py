"""What env.py calls: ``run(context)`` connects, runs what Alembic asks, and records it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from alembic.runtime.environment import EnvironmentContext

from alembic_pgpipe.environment.given import Given
from alembic_pgpipe.environment.looking import look, only_ask, writes_revision
from alembic_pgpipe.environment.moving import move
from alembic_pgpipe.environment.visit import ELSEWHERE, VISIT, Elsewhere, Visit
from alembic_pgpipe.errors import PgpipeError
from alembic_pgpipe.invocation import invocation
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.settings import HIDE, read_settings

__all__ = ["run"]


def run(context: EnvironmentContext | ModuleType, **options: Any) -> None:
    """Run the command that Alembic was given; the one call that env.py makes.

    ``context`` is ``alembic.context``.  ``options`` go to ``context.configure``, for
    instance ``target_metadata``.  Upgrades, downgrades and stamps are recorded in the
    ledger; other commands only read.  Raises PgpipeError with a message for people.
    """
    environment = _environment(context)
    asked = environment.context_opts.get("fn")
    try:
        _run(environment, options)
    except PgpipeError as error:
        error.args = (invocation(environment.config).typed(str(error)),)
        raise
    finally:
        # Alembic keeps what it is told; an env.py may run once for each of several databases.
        environment.context_opts["fn"] = asked


def _run(environment: EnvironmentContext, options: dict[str, Any]) -> None:
    attributes = environment.config.attributes
    elsewhere: Elsewhere = attributes.get(ELSEWHERE, Elsewhere({}, os.environ))
    settings = replace(read_settings(environment.config), **elsewhere.options)
    revisions = ProjectRevisions(environment.script, settings)
    given = Given.by(options, settings)
    visit: Callable[[Visit], None] | None = attributes.get(VISIT)
    if visit is not None:
        hide = attributes.get(HIDE, lambda secret: None)
        visit(Visit(given, revisions, elsewhere.environ, hide))
    elif environment.is_offline_mode():
        # Slow to import, and only for this.
        from alembic_pgpipe.environment.script import write_script

        write_script(environment, given, revisions)
    elif "destination_rev" in environment.context_opts:
        move(environment, given, revisions, elsewhere)
    elif writes_revision(environment):
        only_ask(environment, given)
    else:
        look(environment, given, revisions)


def _environment(context: EnvironmentContext | ModuleType) -> EnvironmentContext:
    """Return the environment behind ``alembic.context``, whose public face is a module.

    The module offers no way to ask which command runs; the object behind it does
    (``context_opts``).
    """
    if isinstance(context, EnvironmentContext):
        return context
    environment: EnvironmentContext = context._proxy  # noqa: SLF001
    return environment
