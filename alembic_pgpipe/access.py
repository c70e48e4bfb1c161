"""What a connection needs: a URL for psycopg2, and the password kept apart from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import URL

DRIVER = "postgresql+psycopg2"
# What other drivers call libpq's sslmode.
SSL_ARGUMENT = "ssl"
PASSWORD_ARGUMENT = "password"


@dataclass(frozen=True, slots=True)
class Access:
    """What one connection needs: where and as whom, and the password beside it.

    ``variables`` are what libpq's variables of these names would say, unless they are set.
    """

    url: URL
    password: str | None = field(default=None, repr=False)
    variables: Mapping[str, str] = field(default_factory=dict)


def password_apart(url: URL) -> tuple[URL, str | None]:
    """Return a URL without its password, and the password."""
    return url._replace(password=None), str(url.password) if url.password else None


def for_psycopg2(url: URL) -> URL:
    """Return a URL of PostgreSQL, for whichever driver it was written, as psycopg2 reads it."""
    return _with_sslmode(_with_password(url.set(drivername=DRIVER)))


def _with_password(url: URL) -> URL:
    """Take a password out of the query, where a URL would show it to everybody."""
    given = url.query.get(PASSWORD_ARGUMENT)
    if given is None:
        return url
    hidden = url.difference_update_query([PASSWORD_ARGUMENT])
    return hidden if url.password else hidden.set(password=str(given))


def _with_sslmode(url: URL) -> URL:
    if SSL_ARGUMENT not in url.query:
        return url
    given = str(url.query[SSL_ARGUMENT])
    mode = {"true": "require", "false": "disable"}.get(given.lower(), given)
    return url.difference_update_query([SSL_ARGUMENT]).update_query_dict({"sslmode": mode})
