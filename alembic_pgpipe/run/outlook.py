"""What of the server would stop a run, as far as reading there tells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.sql.elements import TextClause

from alembic_pgpipe.connect.target import as_identifier
from alembic_pgpipe.source.loading import Source

READ_ONLY = text(
    "SELECT pg_catalog.pg_is_in_recovery()"
    " OR pg_catalog.current_setting('transaction_read_only') = 'on'"
)
# A schema that does not exist yet would be created.
MAY_CREATE = text(
    """
    SELECT current_user, pg_catalog.current_database(), (
        SELECT pg_catalog.has_schema_privilege(oid, 'CREATE')
        FROM pg_catalog.pg_namespace WHERE nspname = :schema
    ), pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
    """
)
DATABASES = text(
    """
    SELECT datname,
        datallowconn AND pg_catalog.has_database_privilege(session_user, oid, 'CONNECT')
    FROM pg_catalog.pg_database WHERE datname = ANY(:names)
    """
)
ROLES = text(
    """
    SELECT rolname, pg_catalog.pg_has_role(session_user, oid, 'MEMBER')
    FROM pg_catalog.pg_roles WHERE rolname = ANY(:names)
    """
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Something of the server that a source names in a directive."""

    word: str
    known: TextClause
    grant: str


USER = text("SELECT session_user")
DATABASE = _Kind("database", DATABASES, "GRANT CONNECT ON DATABASE {} TO {}")
ROLE = _Kind("role", ROLES, "GRANT {} TO {}")


def hindrances(connection: Connection, schema: str, lacking: Sequence[str]) -> Iterator[str]:
    """Yield, as notes, what would keep a run from writing its ledger.

    ``lacking`` are the ledger's tables that do not exist.  Reading needs none of it, so a
    user who may only read can look all the same.
    """
    if connection.scalar(READ_ONLY):
        yield (
            "an upgrade could write nothing here: this is a standby, or sessions are read-only "
            "by default. Let it connect to the primary server, or end that"
        )
        return
    user, database, in_schema, a_schema = connection.execute(
        MAY_CREATE, {"schema": schema}
    ).one()
    if lacking and not (a_schema if in_schema is None else in_schema):
        right = f"CREATE, USAGE ON SCHEMA {as_identifier(schema)}"
        if in_schema is None:
            right = f"CREATE ON DATABASE {as_identifier(database)}"
        yield (
            f"an upgrade would have to create {', '.join(lacking)} in schema {schema}, which "
            f"{user} may not: GRANT {right} TO {as_identifier(user)}"
        )


def unknown_names(connection: Connection, sources: Sequence[Source]) -> Iterator[str]:
    """Yield, as notes, which databases and roles of directives this user does not find there.

    ``sources`` are what is pending, in its order.  What one ahead of it speaks of may be
    there by then; a pooler may know a database by another name, and whoever only looks need
    not be the one who runs.
    """
    for kind, wanted in _wanted(sources):
        names = {"names": sorted(set(wanted.values()))}
        rows = connection.execute(kind.known, names)
        found = {row[0]: bool(row[1]) for row in rows}
        lacking = {number: name for number, name in wanted.items() if not found.get(name)}
        spoken_of = _first_spoken_of(lacking, sources)
        for number, name in lacking.items():
            if spoken_of.get(name, number) >= number:
                user = connection.scalar(USER) if name in found else None
                yield f"{sources[number].path}: {_unknown(kind, name, user)}"


def _wanted(sources: Sequence[Source]) -> Iterator[tuple[_Kind, Mapping[int, str]]]:
    """Yield what of a kind is wanted, by the number of the source."""
    directives = [source.directives for source in sources]
    databases = {n: one.database for n, one in enumerate(directives) if one.database}
    # SET ROLE none is the user's own again.
    roles = {n: one.role for n, one in enumerate(directives) if one.role not in (None, "none")}
    yield from ((kind, some) for kind, some in ((DATABASE, databases), (ROLE, roles)) if some)


def _unknown(kind: _Kind, name: str, barred: str | None) -> str:
    """Return what is wrong with a name; ``barred`` is the user who may not use it."""
    what = f"its directive names {kind.word} {name!r}, which"
    if barred is None:
        return f"{what} is not on this server. Create it there, or mend the directive"
    grant = kind.grant.format(as_identifier(name), as_identifier(barred))
    return f"{what} {barred} may not use. If that user runs it: {grant}"


def _first_spoken_of(wanted: Mapping[int, str], sources: Sequence[Source]) -> Mapping[str, int]:
    """Return by name the number of the first source that speaks of it; each is read once."""
    found: dict[str, int] = {}
    for number, source in enumerate(sources[: max(wanted, default=0)]):
        sought = set(wanted.values()) - found.keys()
        if not sought:
            break
        for statement in source.statements():
            text = statement.text.lower()
            found |= {name: number for name in sought - found.keys() if name.lower() in text}
    return found
