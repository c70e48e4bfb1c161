"""What a secret holds → where to connect and as whom; no message shows what it holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from alembic_pgpipe.access import DRIVER, Access, for_psycopg2, password_apart
from alembic_pgpipe.aws.secret_reference import read_port
from alembic_pgpipe.errors import SettingsError, UnreachableError

# What RDS, its rotation functions, Terraform modules and people call the same thing.
ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "username": ("username", "user", "user_name", "login"),
        "password": ("password", "pass", "passwd", "pwd"),
        "host": ("host", "hostname", "host_name", "endpoint", "address", "server"),
        "port": ("port",),
        "dbname": ("dbname", "database", "db", "db_name", "database_name"),
    }
)
TLS_VARIABLES: Mapping[str, str] = MappingProxyType(
    {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}
)
DIALECTS = frozenset(
    {"postgresql", "postgres", "redshift", "mongodb", "mysql", "mariadb", "oracle", "mssql"}
)
EXPECTED = (
    "Store username, password, host, port and dbname as JSON, or a whole postgresql:// URL."
)


def read_secret(
    name: str, held: str | bytes, wanted: tuple[str, ...] = ("username", "password")
) -> Access:
    """Return what a secret says; its host may be missing, as in one that RDS manages.

    ``wanted`` are the fields that must be there.  Raises UnreachableError with a sentence
    that names the secret, and of what it holds nothing but the names of its keys.
    """
    text = _text(name, held).strip()
    if not text:
        raise _unusable(name, f"is empty. {EXPECTED}")
    value = _json(name, text)
    if isinstance(value, Mapping):
        return _from_fields(name, value, wanted)
    if isinstance(value, str):
        return _from_url(name, value.strip(), wanted)
    raise _unusable(name, f"holds JSON, but no object with keys. {EXPECTED}")


def refuse_engine(name: str, engine: str) -> None:
    """Raise UnreachableError for a secret of another kind of database than PostgreSQL."""
    if "postgres" not in engine.lower():
        raise _unusable(
            name, f"is for engine {engine!r}, not for PostgreSQL. Name another secret."
        )


def _text(name: str, held: str | bytes) -> str:
    if isinstance(held, str):
        return held
    try:
        return held.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unusable(name, f"is binary, and not text in UTF-8. {EXPECTED}") from None


def _json(name: str, text: str) -> Any:
    """Return what JSON holds; a text that does not look like it is a URL."""
    if not text.startswith(("{", "[", '"')):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # The error's own text has the whole secret as an attribute.
        raise _unusable(name, f"holds JSON that cannot be read. {EXPECTED}") from None


def _from_fields(name: str, held: Mapping[str, Any], wanted: tuple[str, ...]) -> Access:
    given = {key.lower(): value for key, value in held.items() if value not in (None, "")}
    if "engine" in given:
        refuse_engine(name, _string(name, "engine", given["engine"]))
    found = {key: _first(name, given, aliases) for key, aliases in ALIASES.items()}
    _refuse_missing(name, found, wanted, held)
    url = URL.create(
        DRIVER,
        username=found["username"],
        host=found["host"],
        port=_port(name, found["port"]),
        database=found["dbname"],
    )
    return Access(url, found["password"], _tls(name, given))


def _first(name: str, given: Mapping[str, Any], aliases: tuple[str, ...]) -> str | None:
    key = next((alias for alias in aliases if alias in given), None)
    return None if key is None else _string(name, key, given[key])


def _string(name: str, key: str, value: object) -> str:
    """Return a value as text that PostgreSQL can be given."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise _unusable(name, f"has a {key} that is not a text. {EXPECTED}")
    text = str(value)
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise _unusable(name, f"has a {key} with characters that PostgreSQL cannot take.")
    return text


def _port(name: str, value: str | None) -> int | None:
    try:
        return read_port((value or "").strip(), "The port")
    except SettingsError:
        raise _unusable(name, "has a port that is not a number from 1 to 65535.") from None


def _tls(name: str, given: Mapping[str, Any]) -> dict[str, str]:
    """Return libpq's variables for what a secret says of TLS; that it is wanted is known."""
    said = {
        variable: _string(name, key, given[key])
        for key, variable in TLS_VARIABLES.items()
        if key in given
    }
    if "PGSSLMODE" not in said and str(given.get("ssl")).lower() == "false":
        said["PGSSLMODE"] = "disable"
    return said


def _from_url(name: str, text: str, wanted: tuple[str, ...]) -> Access:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The parser's own message may quote the URL, and with it a password.
        raise _unusable(name, f"holds neither JSON nor a URL. {EXPECTED}") from None
    if "@" in f"{url.host}{url.database}":
        raise _unusable(name, "holds a URL with an @ in its password: write %40 for it.")
    dialect = url.drivername.split("+")[0]
    if dialect not in DIALECTS:
        # What stands before :// may as well be the beginning of a password.
        raise _unusable(name, f"holds neither JSON nor a URL. {EXPECTED}")
    refuse_engine(name, dialect)
    url, password = password_apart(for_psycopg2(url))
    _refuse_missing(name, {"username": url.username, "password": password}, wanted)
    query = dict(url.query)
    tls = {v: str(query.pop(key)) for key, v in TLS_VARIABLES.items() if key in query}
    return Access(url.set(query=query), password, tls)


def _refuse_missing(
    name: str,
    found: Mapping[str, str | None],
    wanted: tuple[str, ...],
    keys: Iterable[str] = (),
) -> None:
    missing = [key for key in wanted if not found[key]]
    if missing:
        has = ", ".join(sorted(keys))
        raise _unusable(
            name,
            f"lacks: {', '.join(missing)}.{f' Its keys are: {has}.' if has else ''} {EXPECTED}",
        )


def _unusable(name: str, what: str) -> UnreachableError:
    return UnreachableError(f"Secret {name!r} {what}", final=True)
