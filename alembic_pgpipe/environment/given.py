"""What env.py gave to ``run``, and what of it the project's settings decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alembic.util import to_tuple
from sqlalchemy import Connection

from alembic_pgpipe.ledger.elsewhere import VERSION_TABLE, Place, refuse_versions_elsewhere
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.settings import Settings


@dataclass(frozen=True, slots=True)
class Given:
    """The options that env.py has for ``context.configure``, beside the settings.

    Its own ``on_version_apply`` are ``callbacks``: none, one, or several.
    """

    settings: Settings
    options: Mapping[str, Any]
    callbacks: tuple[Callable[..., None], ...] = ()

    @classmethod
    def by(cls, options: Mapping[str, Any], settings: Settings) -> Given:
        """Return what env.py gave."""
        # They may be an iterator, and are looked at more than once.
        callbacks = to_tuple(options.get("on_version_apply"), default=())
        return cls(settings, {**options, "on_version_apply": callbacks}, callbacks)

    @property
    def versions(self) -> Place:
        """Return where the versions are; without a schema the search path would decide."""
        schema = self.options.get("version_table_schema")
        name = self.options.get("version_table", VERSION_TABLE)
        return Place(self.settings.schema if schema is None else schema, name)

    def configured(self) -> dict[str, Any]:
        """Return the options for ``configure``: ours, unless env.py says otherwise."""
        return {**self.options, "version_table_schema": self.versions.schema}

    def refuse_versions_elsewhere(
        self, connection: Connection, revisions: ProjectRevisions
    ) -> None:
        """Refuse to take applied revisions for pending, unless env.py names the schema."""
        if self.options.get("version_table_schema") is None:
            refuse_versions_elsewhere(
                connection, self.versions, lambda: {r.id for r in revisions.all()}
            )
            connection.rollback()
