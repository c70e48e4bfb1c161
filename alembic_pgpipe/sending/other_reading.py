"""What the server would read in another way than the reader did is not sent."""

from __future__ import annotations

import re

from alembic_pgpipe.connect.target import as_identifier
from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.sending.driver import DriverConnection
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.source.reader import Statement

# Strings with an E, and what stands between dollars.
SAME_EITHER_WAY = re.compile(r"\b[eE]'(?:\\.|''|[^'\\])*'|(\$(?:[^\W\d]\w*)?\$).*?\1", re.S)


def refuse_escapes(source: Source, database: str) -> None:
    """Raise SourceError for a source that a database with escapes in strings reads otherwise.

    Sources are read, and sent, as the standard says, unless they say otherwise themselves.
    PostgreSQL docs, "Platform and Client Compatibility".
    """
    for statement in source.statements():
        if "STANDARD_CONFORMING_STRINGS" in statement.words:
            return
        if "\\" in SAME_EITHER_WAY.sub("", statement.text):
            raise SourceError.at(statement, _escapes(database))


def refuse_other_reading(
    driver: DriverConnection, statement: Statement, text: str, *, has_rows: bool = False
) -> None:
    """Raise SourceError for a text that the session, as it is now, would read otherwise.

    It begins with ``statement``.
    """
    encoding = driver.client_encoding
    if not _is_utf8(encoding) and (has_rows or not text.isascii()):
        raise SourceError.at(statement, _other_encoding(encoding))
    if driver.reads_standard_strings is not statement.standard_strings:
        raise SourceError.at(statement, _other_strings(driver.reads_standard_strings))


def _is_utf8(encoding: str) -> bool:
    """Tell whether a name is one of UTF-8: a pooler gives back what the client has written."""
    return encoding.lower().replace("-", "") in ("utf8", "unicode")


def _other_encoding(encoding: str) -> str:
    return (
        f"client_encoding is {encoding} on the server here, and files are read and sent as "
        "UTF-8: take out of this file what sets it."
    )


def _other_strings(on: bool) -> str:
    return (
        f"standard_conforming_strings is {'on' if on else 'off'} on the server here, and this "
        "file was read as if it were not. Change it with a SET statement of its own, in this "
        "file."
    )


def _escapes(database: str) -> str:
    name = as_identifier(database)
    return (
        f"database {database} has standard_conforming_strings = off, so a backslash in a "
        "string means something else there than in this file, which is read as if it were on. "
        "Say in the file which it is, with SET standard_conforming_strings = on; or off; or "
        f"turn it on there: ALTER DATABASE {name} SET standard_conforming_strings = on; or, "
        "where the role has it, ALTER ROLE"
    )
