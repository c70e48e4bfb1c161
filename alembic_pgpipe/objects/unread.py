"""Which routines the server would refuse to create, because it cannot read their bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_pgpipe.objects.held import ROUTINES, Address, DatabaseObject

# What CREATE FUNCTION asks, of the languages that PostgreSQL itself brings; it only reads.
VALIDATORS = """
SELECT p.oid, l.lanvalidator::pg_catalog.regproc::pg_catalog.text AS validator
FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
WHERE p.oid = ANY (%s::pg_catalog.oid[]) AND l.lanname IN ('sql', 'plpgsql')
ORDER BY p.oid
"""


def unreadable_bodies(
    connection: Connection, objects: Iterable[DatabaseObject]
) -> frozenset[Address]:
    """Return the routines whose bodies name what is not on the connection's search path.

    The connection is in autocommit, with the search path that a source would have.
    """
    return frozenset(_unreadable(connection, {o.address.oid: o for o in objects}))


def _unreadable(
    connection: Connection, objects: dict[int, DatabaseObject]
) -> Iterator[Address]:
    oids = [oid for oid, one in objects.items() if one.kind in ROUTINES]
    for oid, validator in connection.exec_driver_sql(VALIDATORS, (oids,)).all():
        try:
            connection.exec_driver_sql(f"SELECT {validator}(%s)", (oid,))
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            yield objects[oid].address
