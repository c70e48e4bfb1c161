"""The text of a revision that wrap has composed, from which each snapshot can be read again.

What wrap has written stands between two marks; what is left when such blocks are taken
out is a working copy's own text, character by character.  Where several working copies
share one source, a line ahead of each says whose version it is::

    -- wrap: billing.total v002

    -- wrap: begin, written by alembic pgpipe wrap
    DROP FUNCTION billing.total(integer);
    -- wrap: end
    CREATE FUNCTION billing.total(integer, integer) …
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.routines.sections import TOLD_LINE
from alembic_pgpipe.source.directives import Directives, read_directives
from alembic_pgpipe.source.reader import Statement, read_statements

BEGIN = "-- wrap: begin, written by alembic pgpipe wrap"
END = "-- wrap: end"
# It ends a comment too.
BARE_RETURN = re.compile(r"\r(?!\n)")
OWNER = re.compile(r"\bOWNER\s+TO\s+\S+\s*;?\s*\Z", re.I)
CONTROL = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT"})


@dataclass(frozen=True, slots=True)
class Written:
    """Statements of wrap's own."""

    sql: str

    @property
    def text(self) -> str:
        """Return what stands in the source."""
        return f"\n{BEGIN}\n{self.sql.strip()}\n{END}\n"


@dataclass(frozen=True, slots=True)
class Copied:
    """A part of a working copy's text, as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """A working copy's text that is not run, because other statements bring it about."""

    copy: str

    @property
    def text(self) -> str:
        """Return what stands in the source: each line as a comment."""
        copy = BARE_RETURN.sub(rf"\r{TOLD_LINE}", self.copy)
        lines = "".join(f"{TOLD_LINE}{line}\n" for line in copy.split("\n"))
        return f"\n-- wrap: not run\n{lines}{END}\n"


@dataclass(frozen=True, slots=True)
class Section:
    """From here on it is this version of this working copy."""

    name: str
    version: int

    @property
    def text(self) -> str:
        """Return what stands in the source."""
        return f"\n-- wrap: {self.name} v{self.version:03}\n"


Part: TypeAlias = Written | Copied | Told | Section
NOTHING: tuple[Part, ...] = (Written(""), Copied(""))


def composed(parts: Iterable[Part]) -> str:
    """Return the text of a source."""
    return "".join(part.text for part in parts)


def spliced(text: str, path: str, before: str, between: str) -> tuple[Part, ...]:
    """Return a text with statements ahead of it, and others behind its last CREATE.

    What is behind that, such as GRANT and COMMENT, then has the last word.  Raises
    SourceError for a text with transaction control, which would end in the middle.
    """
    statements = read_statements(text, path)
    refuse_control(statements)
    if not statements:
        return Copied(text), Written(f"{before}\n{between}")
    first = statements[0].offset
    last = max((s for s in statements if is_create(s)), key=lambda s: s.offset, default=None)
    cut = len(text) if last is None else last.offset + len(last.text)
    end = "" if (last or statements[-1]).text.endswith(";") else ";\n"
    unended = "" if statements[-1].text.endswith(";") or last in (None, statements[-1]) else ";"
    parts: tuple[Part, ...] = (
        Copied(text[:first]),
        Written(before),
        Copied(text[first:cut]),
        Written(end + between),
        Copied(text[cut:]),
        Written(unended),
    )
    return tuple(part for part in parts if part not in NOTHING)


def header(text: str, path: str) -> str:
    """Return what stands ahead of a text's first statement: comments, and directives."""
    statements = read_statements(text, path)
    return text[: statements[0].offset] if statements else text


def followed(text: str, more: str) -> str:
    """Return a text with statements behind it, inside its transaction if it has one."""
    statements = read_statements(text, "")
    commits = [one for one in statements if one.words and one.words[0] in CONTROL][1:]
    if commits:
        at = commits[-1].offset
        return f"{text[:at]}{more}{text[at:]}"
    end = "" if not statements or statements[-1].text.endswith(";") else "\n;"
    return f"{text}{end}\n{more}"


def bare(text: str, path: str) -> str:
    """Return a text's statements without owners, privileges and comments."""
    statements = read_statements(text, path)
    refuse_control(statements)
    kept = (s.text.rstrip(";") for s in statements if not _tells_rights(s))
    return "".join(f"{statement};\n" for statement in kept)


def without_domain(text: str, path: str) -> str:
    """Return a text's statements but for those that make up its domain."""
    statements = read_statements(text, path)
    refuse_control(statements)
    kept = (s.text.rstrip(";") for s in statements if not _makes_up_domain(s))
    return "".join(f"{statement};\n" for statement in kept)


def _makes_up_domain(statement: Statement) -> bool:
    alters = statement.words[:2] == ("ALTER", "DOMAIN") and not _tells_rights(statement)
    return alters or is_create(statement)


def _tells_rights(statement: Statement) -> bool:
    first = statement.words[:1]
    return first in (("GRANT",), ("REVOKE",), ("COMMENT",)) or (
        first == ("ALTER",) and OWNER.search(statement.text) is not None
    )


def shared(text: str, path: str) -> tuple[Part, ...]:
    """Return a text for a source that others share.

    Raises SourceError for one with transaction control, settings or directives, which
    would mean the others too.
    """
    statements = read_statements(text, path)
    refuse_control(statements)
    refuse_directives(text, path)
    if statements and not statements[-1].text.endswith(";"):
        return Copied(text), Written(";")
    return (Copied(text),)


def is_create(statement: Statement) -> bool:
    """Tell whether a statement creates something."""
    return statement.words[:1] == ("CREATE",)


def refuse_control(statements: Iterable[Statement]) -> None:
    """Raise SourceError where a text has a transaction, or settings, of its own."""
    for statement in statements:
        if statement.words and statement.words[0] in CONTROL:
            raise _refusal(statement, "take the transaction control out of this file")
        if statement.words[:1] in (("SET",), ("RESET",)) and not _leaves_bodies(statement):
            raise _refusal(
                statement,
                "take SET out of this file: qualify the names, or set it per function",
            )


def _leaves_bodies(statement: Statement) -> bool:
    """Tell the one setting that changes nothing but how early a mistake is seen."""
    return statement.words[:2] == ("SET", "CHECK_FUNCTION_BODIES")


def refuse_directives(text: str, path: str) -> None:
    """Raise SourceError where the header of a text sets what would hold for others too."""
    if read_directives(text, path) != Directives():
        raise SourceError(
            path,
            "this change shares a revision with other texts, for which what the header sets "
            "would hold too: take the directives out of this file",
        )


def _refusal(statement: Statement, advice: str) -> SourceError:
    return SourceError(
        statement.path,
        f"this change needs statements of wrap's own around the text: {advice}.",
        line=statement.line,
        column=statement.column,
    )
