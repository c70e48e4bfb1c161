"""Which characters a database can hold; one in UTF8 holds all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

PYTHON = "utf_8"


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoding of a database: the server's name of it, and Python's."""

    name: str
    codec: str = PYTHON

    def hold(self, text: str) -> str:
        r"""Return a text with what cannot be stored written as in Python: ``\u2192``."""
        if self.codec == PYTHON:
            return text
        return text.encode(self.codec, "backslashreplace").decode(self.codec)

    def hold_all(self, value: Any) -> Any:
        """Return a value with its texts, those in lists too, as they can be stored."""
        if isinstance(value, list):
            return [self.hold_all(one) for one in value]
        return self.hold(value) if isinstance(value, str) else value


UTF8 = Encoding("UTF8")


def encoding_of(connection: Connection) -> Encoding:
    """Return the encoding of the database that a connection is to.

    The server says it at the start of a session (PostgreSQL docs, "Asynchronous
    Operations" of the frontend protocol).  With SQL_ASCII it stores any bytes.
    """
    # Where there is a connection, the driver is there; wrap has neither.
    from psycopg2.extensions import encodings

    driver: Any = connection.connection.dbapi_connection
    name = driver.info.parameter_status("server_encoding")
    if name is None or name == "SQL_ASCII":
        return UTF8
    return Encoding(name, encodings.get(name, PYTHON))
