"""Keep autogenerate from proposing to drop the ledger's tables."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeAlias

from sqlalchemy import Connection, text

from alembic_pgpipe.ledger.elsewhere import Place

IncludeObject: TypeAlias = Callable[[Any, str | None, str, bool, Any], bool]
VISIBLE = text(
    """
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname = ANY(:names) AND pg_catalog.pg_table_is_visible(c.oid)
    """
)


def leave_alone(
    connection: Connection, own: Collection[Place], theirs: IncludeObject | None
) -> IncludeObject:
    """Return an ``include_object`` that passes over our tables, then asks the project's.

    Autogenerate names no schema for what the search path finds, in whichever schema.
    """
    names = _names(connection, own)

    def include_object(
        thing: Any, name: str | None, type_: str, reflected: bool, compare_to: Any
    ) -> bool:
        removed = type_ == "table" and reflected and compare_to is None
        if removed and (thing.schema, name) in names:
            return False
        return theirs is None or theirs(thing, name, type_, reflected, compare_to)

    return include_object


def _names(connection: Connection, own: Collection[Place]) -> set[tuple[str | None, str]]:
    """Return our tables as autogenerate calls them."""
    found = connection.execute(VISIBLE, {"names": [place.name for place in own]})
    visible = {Place(*row) for row in found}.intersection(own)
    connection.rollback()
    return {(p.schema, p.name) for p in own} | {(None, p.name) for p in visible}
