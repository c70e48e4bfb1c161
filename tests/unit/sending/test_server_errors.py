"""Which errors mean that the connection broke, and nobody has refused anything."""

from __future__ import annotations

import psycopg2
import pytest
from sqlalchemy.exc import DBAPIError

from alembic_pgpipe.sending.server_errors import is_broken_off

CLOSED = "server closed the connection unexpectedly"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg2.OperationalError(CLOSED), True),
        (psycopg2.InterfaceError("connection already closed"), True),
        (psycopg2.DatabaseError(CLOSED), True),
        (psycopg2.DataError("a value is out of range"), False),
        (psycopg2.ProgrammingError("no results to fetch"), False),
        (ValueError(CLOSED), False),
    ],
)
def test_only_what_cuts_off_is_a_broken_connection(error: Exception, expected: bool) -> None:
    assert is_broken_off(error) is expected
    if isinstance(error, psycopg2.Error):
        assert is_broken_off(DBAPIError("SELECT 1", None, error)) is expected
