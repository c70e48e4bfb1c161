"""``secretsmanager://NAME-OR-ARN?…``: which secret, and what is said beside it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from sqlalchemy import URL

from alembic_pgpipe.aws.iam import is_iam
from alembic_pgpipe.errors import SettingsError

SCHEME = "secretsmanager://"
PARAMETERS = (
    "version_stage",
    "version_id",
    "region",
    "host",
    "port",
    "database",
    "dbname",
    "auth",
    "sslmode",
    "sslrootcert",
)
HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A secret by its name or ARN, and what its reader says instead of it.

    ``tls`` holds libpq's ``sslmode`` and ``sslrootcert`` where they are given.  With
    ``iam`` the password is a token of RDS, and the secret says only who and where.
    """

    name: str
    region: str | None = None
    version_stage: str | None = None
    version_id: str | None = None
    host: str | None = None
    port: int | None = None
    database: str | None = None
    iam: bool = False
    tls: tuple[tuple[str, str], ...] = ()

    def known_host(self, environ: Mapping[str, str]) -> str | None:
        """Return the host that need not be in the secret: the reader's, else PGHOST."""
        return self.host or environ.get("PGHOST") or None

    def placed(self, url: URL, environ: Mapping[str, str]) -> URL:
        """Return a secret's URL with what the reader, and else PG… variables, say instead."""
        host = self.known_host(environ)
        port = self.port or read_port(environ.get("PGPORT", ""), "PGPORT")
        database = self.database or environ.get("PGDATABASE")
        hidden = [*(("host",) if host else ()), *(("port",) if host or port else ())]
        return (
            url.difference_update_query(hidden)
            .set(
                host=host or url.host,
                port=port or url.port,
                database=database or url.database or "postgres",
            )
            .update_query_dict(dict(self.tls))
        )


def read_reference(text: str, where: str) -> SecretReference:
    """Return the secret that a text names, with or without the scheme before it.

    ``where`` is the option or variable that holds the text, for messages.  Raises
    SettingsError for an unknown parameter or a value that cannot be used.
    """
    name, _, query = text.strip().removeprefix(SCHEME).partition("?")
    if not name:
        raise SettingsError(
            f"{where} names no secret. Write {SCHEME}NAME-OR-ARN, for instance {SCHEME}shop/db."
        )
    given = _parameters(query, where)
    database = given.get("database", given.get("dbname"))
    return SecretReference(
        name=unquote(name),
        region=_region(unquote(name), given.get("region"), where),
        version_stage=given.get("version_stage"),
        version_id=given.get("version_id"),
        host=given.get("host"),
        port=read_port(given.get("port", ""), f"{where}: port"),
        database=database,
        iam=is_iam(given.get("auth"), where),
        tls=tuple((key, given[key]) for key in ("sslmode", "sslrootcert") if key in given),
    )


def read_port(text: str, where: str) -> int | None:
    """Return a port, or None for an empty text; raises SettingsError for anything else."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= HIGHEST_PORT:
        raise SettingsError(f"{where} is no port. Write a number from 1 to {HIGHEST_PORT}.")
    return int(text)


def _parameters(query: str, where: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in PARAMETERS:
            raise SettingsError(_unknown(name, where))
        if not value or name in given:
            said = "twice" if value else "without a value"
            raise SettingsError(f"{where}: the parameter {name} is given {said}.")
        given[name] = value
    if "database" in given and "dbname" in given:
        raise SettingsError(f"{where}: database and dbname are one; keep one of them.")
    return given


def _unknown(name: str, where: str) -> str:
    near = difflib.get_close_matches(name, PARAMETERS, n=1, cutoff=0.5)
    meant = f" Did you mean {near[0]}?" if near else ""
    return (
        f"{where}: a secret has no parameter {name!r}.{meant} "
        f"The parameters are {', '.join(PARAMETERS)}."
    )


def _region(name: str, given: str | None, where: str) -> str | None:
    """Return the region of an ARN, else the one that is given: elsewhere nothing is found."""
    parts = name.split(":")
    own = parts[3] if name.startswith("arn:") and len(parts) > 3 else None
    if own and given and own != given:
        raise SettingsError(
            f"{where}: region={given}, but the ARN says {own}. Remove the parameter."
        )
    return own or given
