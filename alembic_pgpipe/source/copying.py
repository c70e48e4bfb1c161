"""Which forms of COPY a source cannot use: what psql would print, and what is no text."""

from __future__ import annotations

import re

from alembic_pgpipe.source.lexer import Lexer, watch
from alembic_pgpipe.source.reader import Statement, without_comments
from alembic_pgpipe.source.window import Window

TO_CLIENT = (
    "COPY … TO STDOUT sends rows to the client, and a deployment has no place for them; remove "
    "it, or write them to a file on the server: COPY … TO 'FILE'"
)
BINARY_ROWS = (
    "a text file cannot hold binary rows; write them as text or CSV, or read them from a file "
    "on the server: COPY … FROM 'FILE'"
)
# What is quoted is no keyword, except as the format's name.
QUOTED = re.compile(r"(\bFORMAT\s*)?(?:'[^']*'|\"[^\"]*\")", re.I | re.A)
BINARY = re.compile(r"\ACOPY\s+BINARY\b|\bSTD(?:IN|OUT)\b.*\bBINARY\b", re.I | re.A | re.S)


def refused_copy(statement: Statement) -> str | None:
    """Return what is wrong with a COPY, and what to write instead; None for the others."""
    if statement.words[:1] != ("COPY",):
        return None
    if statement.data is not None:
        return BINARY_ROWS if _is_binary(statement) else None
    return TO_CLIENT if _is_to_client(statement) else None


def _is_binary(statement: Statement) -> bool:
    text = QUOTED.sub(
        lambda quoted: quoted[0] if quoted[1] else "", without_comments(statement)
    )
    return BINARY.search(text.strip()) is not None


def _is_to_client(statement: Statement) -> bool:
    watched = watch(statement.words)
    lexer = Lexer(Window(iter((statement.text,)), statement.path))
    lexer.standard_strings = statement.standard_strings
    lexer.end(0, watched)
    return watched is not None and watched.to_stdout
