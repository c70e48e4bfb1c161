"""Alembic's version table where ``repair`` has to change it; all else is Alembic's own."""

from __future__ import annotations

from sqlalchemy import Connection, column, delete, table

from alembic_pgpipe.errors import LedgerError
from alembic_pgpipe.ledger.elsewhere import VERSION, Place


def forget_version(connection: Connection, place: Place, version: str) -> None:
    """Delete a version; raises LedgerError where somebody else has done so meanwhile."""
    versions = table(place.name, column(VERSION), schema=place.schema)
    found = connection.execute(delete(versions).where(versions.c[VERSION] == version))
    if found.rowcount != 1:
        raise LedgerError(
            f"{place} does not hold {version} any more; nothing was mended. Look again: "
            "alembic pgpipe repair"
        )
