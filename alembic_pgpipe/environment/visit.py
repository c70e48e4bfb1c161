"""What others than Alembic get from env.py: a look at the project, or another database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from alembic_pgpipe.environment.given import Given
from alembic_pgpipe.ledger.versions import forget_version
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.settings import Settings

VISIT = "alembic_pgpipe.visit"
ELSEWHERE = "alembic_pgpipe.elsewhere"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Sends a project's commands to another database, as an attribute of ``Config``.

    ``options`` are those of the settings that differ; ``environ`` is all that the
    commands see of the variables outside.  ``watched`` are the revisions of which the
    attempts are to keep what they hold up.
    """

    options: Mapping[str, Any]
    environ: Mapping[str, str]
    watched: Collection[str] = frozenset()

    def watches(self, everything: frozenset[str]) -> frozenset[str]:
        """Return which revisions are watched, of a project that has those.

        Where all of them are, no table is older than they are, and none is looked at.
        """
        watched = frozenset(self.watched)
        return watched if everything - watched else frozenset()


@dataclass(frozen=True, slots=True)
class Visit:
    """What a command of ours gets to see of a project: all that ``run`` has resolved.

    ``hide`` is to hear of every password and token that is used.
    """

    given: Given
    revisions: ProjectRevisions
    environ: Mapping[str, str]
    hide: Callable[[str], None]

    @property
    def settings(self) -> Settings:
        """Return the project's settings."""
        return self.given.settings

    def heads(self, connection: Connection) -> tuple[str, ...]:
        """Return what ``alembic_version`` says, through Alembic's own reading of it.

        Raises LedgerError where the project's versions are kept in another place.
        """
        self.given.refuse_versions_elsewhere(connection, self.revisions)
        context = MigrationContext.configure(connection, opts=self.given.configured())
        return context.get_current_heads()

    def forget_version(self, connection: Connection, version: str) -> None:
        """Take one revision out of ``alembic_version``, in the connection's transaction."""
        forget_version(connection, self.given.versions, version)
