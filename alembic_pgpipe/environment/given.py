"""What env.py gave to ``run``, and what of it the project's settings decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from alembic_pgpipe.ledger.elsewhere import VERSION_TABLE, Place, refuse_versions_elsewhere
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.settings import Settings


@dataclass(frozen=True, slots=True)
class Given:
    """The options that env.py has for ``context.configure``, beside the settings."""

    settings: Settings
    options: Mapping[str, Any]

    @property
    def versions(self) -> Place:
        """Return where the versions are; without a schema the search path would decide."""
        schema = self.options.get("version_table_schema")
        name = self.options.get("version_table", VERSION_TABLE)
        return Place(self.settings.schema if schema is None else schema, name)

    @property
    def callbacks(self) -> tuple[Callable[..., None], ...]:
        """Return the project's own ``on_version_apply``: none, one, or several."""
        given = self.options.get("on_version_apply") or ()
        return (given,) if callable(given) else tuple(given)

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
