"""Which database: ``sqlalchemy.url``, a secret, or libpq's own variables → one URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from alembic_pgpipe.access import DRIVER, for_psycopg2
from alembic_pgpipe.aws.secret_reference import SCHEME, SecretReference, read_reference
from alembic_pgpipe.errors import SettingsError

SCRATCH = "scratch://"
SECRET_VARIABLES = ("PGPIPE_SECRET", "SECRET_NAME")
LIBPQ_VARIABLES = (
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGPASSWORD",
    "PGDATABASE",
    "PGSERVICE",
)
CHOICES = (
    "No database is named. Set sqlalchemy.url in alembic.ini to "
    "postgresql://USER@HOST/DATABASE, to secretsmanager://NAME-OR-ARN or to scratch://DIR; or "
    "set the environment variable PGPIPE_SECRET (or SECRET_NAME) to the name of a secret; or "
    "set PGHOST, PGUSER, PGPASSWORD, PGPORT and PGDATABASE."
)
UNREADABLE = (
    "sqlalchemy.url cannot be read. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with "
    f"%40 for an @ in the password (%%40 in an .ini file). {CHOICES}"
)


def scratch_folder(url: str, project: Path) -> Path | None:
    """Return the data folder of a ``scratch://DIR`` URL, else None."""
    if not url.startswith(SCRATCH):
        return None
    folder = url.removeprefix(SCRATCH)
    if not folder:
        raise SettingsError("sqlalchemy.url: scratch:// needs a folder, as in scratch://.pg.")
    return project / folder


def secret_reference(url: str, environ: Mapping[str, str]) -> SecretReference | None:
    """Return the secret that holds the credentials, or None where none is named."""
    if url.startswith(SCHEME):
        return read_reference(url, "sqlalchemy.url")
    if url:
        return None
    given = next((name for name in SECRET_VARIABLES if environ.get(name)), None)
    return read_reference(environ[given], given) if given is not None else None


def database_url(url: str, environ: Mapping[str, str]) -> URL:
    """Return the URL for psycopg2, whichever PostgreSQL driver it was written for.

    An empty ``url`` leaves all to libpq's variables, with PGDATABASE defaulting to
    ``postgres``.  Raises SettingsError where nothing is set, where the URL cannot be
    read, or where it names another dialect.
    """
    if not url:
        return _from_libpq(environ)
    parsed = _parse(url)
    _refuse_other_dialects(parsed)
    return for_psycopg2(parsed)


def database_name(url: str) -> str | None:
    """Return the database that a URL names, else None; nothing is resolved."""
    if not url or url.startswith(SCRATCH):
        return None
    try:
        if url.startswith(SCHEME):
            return read_reference(url, "sqlalchemy.url").database
        return _parse(url).database
    except SettingsError:
        return None


def _from_libpq(environ: Mapping[str, str]) -> URL:
    if not any(environ.get(name) for name in LIBPQ_VARIABLES):
        raise SettingsError(CHOICES)
    if environ.get("PGSERVICE") and not environ.get("PGDATABASE"):
        return URL.create(DRIVER)
    return URL.create(DRIVER, database=environ.get("PGDATABASE") or "postgres")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The parser's own message may quote the URL, and with it a password.
        raise SettingsError(UNREADABLE) from None
    names = (parsed.host, parsed.database if parsed.password else None)
    if any("@" in name for name in names if name) or "\0" in str(parsed.password or ""):
        # What the parser takes for the beginning of the host, or of the database where there
        # is a slash as well, is a password's end.  No password has a NUL.
        raise SettingsError(UNREADABLE)
    return parsed


def _refuse_other_dialects(url: URL) -> None:
    dialect = url.drivername.split("+")[0]
    if dialect == "driver":
        raise SettingsError(
            "sqlalchemy.url is still the placeholder that 'alembic init' wrote. " + CHOICES
        )
    if dialect not in ("postgresql", "postgres"):
        raise SettingsError(
            f"sqlalchemy.url names the dialect {dialect!r}; alembic-pgpipe is for PostgreSQL. "
            "Write postgresql://USER@HOST/DATABASE."
        )
