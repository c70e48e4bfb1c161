"""Credentials from AWS Secrets Manager; the only user of boto3, imported when needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from alembic_pgpipe.connect.url import DRIVER, for_psycopg2
from alembic_pgpipe.errors import UnreachableError

CONNECT_SECONDS = 5
READ_SECONDS = 10


def resolve(name: str, environ: Mapping[str, str]) -> URL:
    """Return the URL that a secret holds: RDS's JSON, or a whole URL as text.

    ``name`` is the secret's name or ARN; an ARN's region beats the environment's.
    PGHOST, PGPORT and PGDATABASE override parts of the secret.  Raises
    UnreachableError, without a word of the secret's value, where it cannot be had.
    """
    text = _fetch(name)
    if text.lstrip().startswith("{"):
        return _from_json(name, text, environ)
    try:
        return for_psycopg2(make_url(text.strip()))
    except ArgumentError:
        raise UnreachableError(
            f"Secret {name!r} holds neither JSON nor a postgresql:// URL. "
            "Store host, port, dbname, username and password as JSON."
        ) from None


def _fetch(name: str) -> str:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    limits = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
    try:
        client = boto3.client("secretsmanager", region_name=_region(name), config=limits)
        answer: dict[str, Any] = client.get_secret_value(SecretId=name)
    except (BotoCoreError, ClientError) as error:
        raise UnreachableError(
            f"Secret {name!r} cannot be read: {error}. Check its name, the region "
            "(AWS_REGION), and that this role may call secretsmanager:GetSecretValue on it."
        ) from error
    binary: bytes = answer.get("SecretBinary", b"")
    return str(answer.get("SecretString") or binary.decode("utf-8", "replace"))


def _region(name: str) -> str | None:
    parts = name.split(":")
    return parts[3] or None if name.startswith("arn:") and len(parts) > 3 else None


def _from_json(name: str, text: str, environ: Mapping[str, str]) -> URL:
    try:
        fields: dict[str, Any] = json.loads(text)
    except ValueError:
        raise UnreachableError(f"Secret {name!r} holds JSON that cannot be read.") from None
    missing = [key for key in ("username", "password") if not fields.get(key)]
    host = environ.get("PGHOST") or fields.get("host")
    if missing or not host:
        lacking = ", ".join([*missing, *([] if host else ["host (or set PGHOST)"])])
        raise UnreachableError(f"Secret {name!r} lacks: {lacking}.")
    engine = str(fields.get("engine", "postgres"))
    if "postgres" not in engine:
        raise UnreachableError(f"Secret {name!r} is for engine {engine!r}, not for PostgreSQL.")
    return URL.create(
        DRIVER,
        username=str(fields["username"]),
        password=str(fields["password"]),
        host=str(host),
        port=int(environ.get("PGPORT") or fields.get("port") or 5432),
        database=str(environ.get("PGDATABASE") or fields.get("dbname") or "postgres"),
    )
