"""A sentence for each way in which the server refuses a statement of the tool's own."""

from __future__ import annotations

import re

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from alembic_pgpipe.connect.target import as_identifier, grantee
from alembic_pgpipe.errors import LedgerError, PgpipeError, UnreachableError
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.showable import as_sentences
from alembic_pgpipe.sqlstates import (
    INSUFFICIENT_PRIVILEGE,
    LOST_CONNECTION,
    NO_RESOURCES,
    READ_ONLY,
)

FUNCTION = re.compile(r"for function (\S+)")
ONE_OWNER = " Where a rotation swaps users, let one role own it all: set pgpipe.role."


def statement_refusal(
    error: DBAPIError, target: URL, settings: Settings, again: str, *, from_aws: bool
) -> PgpipeError:
    """Return the error for a statement of the tool's own that the server refused.

    A source's errors never come here; its step has them.  ``from_aws`` says that the
    credentials may be another user's soon, ``again`` is what to type next.
    """
    reason, code = _reason(error), getattr(error.orig, "pgcode", None)
    if settings.role is not None and f'role "{settings.role}"' in reason:
        return _role_refusal(reason, target, settings.role)
    if code == INSUFFICIENT_PRIVILEGE:
        return _privilege_refusal(reason, target, settings, again, from_aws=from_aws)
    if code == READ_ONLY:
        return LedgerError(
            f"The ledger cannot be written: the server is read-only ({reason}). Connect to the "
            "primary server, or end its read-only mode."
        )
    if code is None or code.startswith(LOST_CONNECTION):
        return UnreachableError(
            f"The connection was lost: {reason}. What was committed stays, and the next run "
            f"finishes what was interrupted: {again}"
        )
    if code.startswith(NO_RESOURCES):
        return LedgerError(
            f"The server has no room for what the ledger has to keep: {reason} ({code}). What "
            f"was committed stays. Make room there, then: {again}"
        )
    return LedgerError(
        f"The server refuses a statement of the tool's own: {reason} ({code}). What was "
        "committed stays. Find what refuses it, such as somebody's trigger, then: "
        f"{again}"
    )


def _reason(error: DBAPIError) -> str:
    """Return the server's words without the excerpt of a statement that nobody wrote."""
    diag = getattr(error.orig, "diag", None)
    said = getattr(diag, "message_primary", None) or str(error.orig)
    return as_sentences(said).rstrip(".")


def _role_refusal(reason: str, target: URL, role: str) -> LedgerError:
    grant = f"GRANT {as_identifier(role)} TO {grantee(target)}"
    return LedgerError(
        f"pgpipe.role cannot be used: {reason}. Let its owner run: {grant}; or name another "
        "role in pgpipe.role."
    )


def _privilege_refusal(
    reason: str, target: URL, settings: Settings, again: str, *, from_aws: bool
) -> LedgerError:
    user = as_identifier(settings.role) if settings.role else grantee(target)
    function = FUNCTION.search(reason)
    if function is not None:
        return _function_refusal(reason, function[1], user, again)
    return LedgerError(
        f"The ledger in schema {settings.schema} is out of reach: {reason}. Let the owner "
        f"run: GRANT {_grant(reason, target, settings.schema)} TO {user}; or name another "
        "schema in pgpipe.schema."
        f"{ONE_OWNER if from_aws and settings.role is None else ''}"
    )


def _function_refusal(reason: str, name: str, user: str, again: str) -> LedgerError:
    # The server tells no arguments.  Those of ours that share their name are these locks,
    # which are all called with one key.
    arguments = "(bigint)" if "advisory" in name else ""
    return LedgerError(
        f"The server refuses a statement of the tool's own: {reason}. Let a superuser run: "
        f"GRANT EXECUTE ON FUNCTION {name}{arguments} TO {user}; then: {again}"
    )


def _grant(reason: str, target: URL, schema: str) -> str:
    schema = as_identifier(schema)
    if "for schema" in reason:
        return f"CREATE, USAGE ON SCHEMA {schema}"
    if "for database" in reason:
        return (
            f"CREATE ON DATABASE {as_identifier(target.database) if target.database else '…'}"
        )
    if "for sequence" in reason:
        return f"USAGE ON ALL SEQUENCES IN SCHEMA {schema}"
    return f"SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema}"
