"""What the server said of an error, out of what psycopg2 and SQLAlchemy make of it."""

from __future__ import annotations

from typing import Any

import psycopg2
import psycopg2.errorcodes
from sqlalchemy.exc import DBAPIError

from alembic_pgpipe.model import ServerError
from alembic_pgpipe.showable import WORDS, as_sentences, bounded
from alembic_pgpipe.source.advice import advice
from alembic_pgpipe.source.reader import Statement
from alembic_pgpipe.sqlstates import LOST_CONNECTION

CUT_OFF = (psycopg2.OperationalError, psycopg2.InterfaceError)


class StatementError(Exception):
    """Carry a server's error together with the statement that caused it.

    It is statement ``number`` of the ``total`` that its source has.
    """

    def __init__(
        self, error: ServerError, statement: Statement, number: int, total: int
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.statement = statement
        self.number = number
        self.total = total


def server_error(error: BaseException, statement: Statement | None = None) -> ServerError:
    """Return what the server said, from psycopg2's error or SQLAlchemy's around it.

    Where it gives no hint, there may be one of ours for the statement.  Words of great
    length are shortened here, ahead of all that is done with them.
    """
    if isinstance(error, StatementError):
        return error.error
    original = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(original, psycopg2.Error):
        return ServerError(message=str(original) or type(original).__name__)
    diag = original.diag
    code = original.pgcode
    return ServerError(
        message=_words(diag.message_primary) or as_sentences(str(original)),
        sqlstate=code,
        condition=_condition(code),
        detail=_words(diag.message_detail),
        hint=_words(diag.message_hint) or (advice(code, statement) if statement else None),
        context=_words(diag.context),
        position=_number(diag.statement_position),
        internal_query=diag.internal_query,
        internal_position=_number(diag.internal_position),
        constraint=diag.constraint_name,
        table=".".join(filter(None, (diag.schema_name, diag.table_name))) or None,
    )


def _words(text: str | None) -> str | None:
    return bounded(text, WORDS) if text else None


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error that came from the server, else None."""
    return server_error(error).sqlstate


def is_unanswered(error: BaseException) -> bool:
    """Return whether a statement was sent and the connection broke before the answer."""
    if not isinstance(error, StatementError):
        return False
    return error.error.sqlstate is None or error.error.sqlstate.startswith(LOST_CONNECTION)


def is_broken_off(error: BaseException) -> bool:
    """Return whether the connection broke, where nobody has refused anything."""
    original: Any = error.__cause__ if isinstance(error, StatementError) else error
    original = original.orig if isinstance(original, DBAPIError) else original
    # The bare class comes where libpq has the message and does not know yet that it is cut off.
    bare = type(original) is psycopg2.DatabaseError
    if not bare and not isinstance(original, CUT_OFF):
        return False
    return original.pgcode is None or original.pgcode.startswith(LOST_CONNECTION)


def is_server_error(error: BaseException) -> bool:
    """Return whether an error came from the database driver."""
    original: Any = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(original, psycopg2.Error)


def _condition(code: str | None) -> str | None:
    try:
        return psycopg2.errorcodes.lookup(code).lower() if code else None
    except KeyError:
        return None
