"""The databases and roles of a scratch server: made, dropped, and kept as they were."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

CREATE = {
    # What belongs to it, or is done in its name, must not fail for want of a right.
    "role": "CREATE ROLE {} NOLOGIN SUPERUSER",
    "database": "CREATE DATABASE {}",
    "schema": "CREATE SCHEMA {}",
}
DROP = "DROP DATABASE IF EXISTS {} WITH (FORCE)"
# The server's own have the numbers below.
OTHER_DATABASES = "SELECT datname FROM pg_catalog.pg_database WHERE oid >= 16384"
OTHER_ROLES = "SELECT rolname FROM pg_catalog.pg_roles WHERE oid >= 16384"
COPY = "pgpipe_before_the_undo"
# Whether a database is in no way other than what CREATE DATABASE makes of its template.
IS_PLAIN = """
    SELECT datacl IS NULL AND datconnlimit = -1 AND datdba = (
        SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user
    ) AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_db_role_setting WHERE setdatabase = one.oid
    ) AND pg_catalog.shobj_description(oid, 'pg_database') IS NULL
    FROM pg_catalog.pg_database one WHERE datname = %s
    """
# What all databases of a server share.
SHARED = """
    SELECT pg_catalog.array_agg(one ORDER BY one) FROM (
        SELECT one::text FROM pg_catalog.pg_authid one
        UNION ALL SELECT one::text FROM pg_catalog.pg_auth_members one
        UNION ALL SELECT one::text FROM pg_catalog.pg_db_role_setting one
        WHERE setdatabase NOT IN (SELECT oid FROM pg_catalog.pg_database WHERE datname = %s)
        UNION ALL SELECT pg_catalog.concat_ws(' ', oid, datname, datdba, datacl)
        FROM pg_catalog.pg_database WHERE datname NOT IN (%s, %s)
    ) AS every (one)
    """


@dataclass(frozen=True, slots=True)
class Kept:
    """A database as it was, beside the one in which something is tried meanwhile.

    ``shared`` is what its server had besides.
    """

    connection: Connection
    name: str
    shared: list[str]

    def give_back(self) -> bool:
        """Put it in its place again; return False where more than the database has changed."""
        if _shared(self.connection, self.name) != self.shared:
            return False
        command(self.connection, DROP, self.name)
        command(self.connection, "ALTER DATABASE {} RENAME TO {}", COPY, self.name)
        return True


def kept(connection: Connection, name: str) -> Kept | None:
    """Keep a database as it is; None where a copy would not be all of it, or cannot be had.

    There is none of a database that somebody is connected to.
    """
    forget_copy(connection)
    if not connection.exec_driver_sql(IS_PLAIN, (name,)).scalar_one():
        return None
    shared = _shared(connection, name)
    try:
        command(connection, "CREATE DATABASE {} TEMPLATE {}", COPY, name)
    except DBAPIError:
        return None
    return Kept(connection, name, shared)


def forget_copy(connection: Connection) -> None:
    """Drop what was kept, where it has not been given back."""
    command(connection, DROP, COPY)


def _shared(connection: Connection, name: str) -> list[str]:
    found: list[str] = connection.exec_driver_sql(SHARED, (name, name, COPY)).scalar_one()
    return found


def exists(connection: Connection, name: str) -> bool:
    """Return whether there is a database of that name."""
    sql = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s"
    return connection.exec_driver_sql(sql, (name,)).first() is not None


def wipe(connection: Connection) -> None:
    """Drop the databases, then the roles, that histories have made."""
    for (database,) in connection.exec_driver_sql(OTHER_DATABASES).all():
        command(connection, DROP, database)
    for (role,) in connection.exec_driver_sql(OTHER_ROLES).all():
        command(connection, "DROP OWNED BY {0} CASCADE; DROP ROLE {0}", role)


def create(connection: Connection, kind: str, name: str) -> None:
    """Make a role, a database, or a schema of the database that is connected to."""
    command(connection, CREATE[kind], name)


def command(connection: Connection, statement: str, *names: str) -> None:
    """Run a statement with names in it."""
    quoted = map(connection.dialect.identifier_preparer.quote_identifier, names)
    connection.exec_driver_sql(statement.format(*quoted))
