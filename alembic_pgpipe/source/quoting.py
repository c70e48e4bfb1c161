"""Names and texts as SQL has them in quotes: PostgreSQL docs, Lexical Structure."""

from __future__ import annotations


def identifier(*parts: str) -> str:
    """Return a name in quotes; of several parts, with a dot between them."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def literal(text: str) -> str:
    """Return a text as a literal, for a session with ``standard_conforming_strings``."""
    return "'" + text.replace("'", "''") + "'"
