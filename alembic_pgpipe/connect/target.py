"""What messages call the database that a URL points to, its server and its user."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from sqlalchemy import URL, Dialect
from sqlalchemy.dialects import postgresql

DEFAULT_PORT = "5432"
# As SQLAlchemy reads one of several; an address of IPv6 has more colons.
HOST_AND_PORT = re.compile(r"[^:]+:[0-9]+")


def describe(target: URL) -> str:
    """Return what a URL points to, for messages: never its password or its options."""
    environ = os.environ
    user = target.username or environ.get("PGUSER") or "the default user"
    database = target.database or environ.get("PGDATABASE") or "the default database"
    return f"database {database} at {_where(target, environ)} as {user}"


def _where(target: URL, environ: Mapping[str, str]) -> str:
    """Return the host with its port; of several, of which libpq tries each, all of them."""
    given = target.host or target.query.get("host") or environ.get("PGHOST")
    if not given:
        return "the local socket"
    hosts = _several(given)
    port = target.port and str(target.port)
    ports = _several(port or target.query.get("port") or environ.get("PGPORT") or "")
    if len(ports) != len(hosts):
        ports = ports[:1] * len(hosts)
    return ", ".join(map(_with_port, hosts, ports))


def _several(given: str | tuple[str, ...]) -> list[str]:
    return (given if isinstance(given, str) else ",".join(given)).split(",")


def _with_port(host: str, port: str) -> str:
    if host.startswith("/") or HOST_AND_PORT.fullmatch(host):
        return host
    return f"{host}:{port or DEFAULT_PORT}"


def user_of(target: URL) -> str:
    """Return what a sentence calls the user who connects."""
    return target.username or os.environ.get("PGUSER") or "this user"


def grantee(target: URL) -> str:
    """Return what a GRANT calls the user who connects."""
    name = target.username or os.environ.get("PGUSER")
    return as_identifier(name) if name else "this user"


def as_identifier(name: str) -> str:
    """Return a name of the server as SQL has it, quoted where it must be."""
    dialect: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return dialect.identifier_preparer.quote(name)
