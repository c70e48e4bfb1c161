"""Where a line of a routine stands in the project's files, from what CONTEXT says of it.

The server counts lines from the quote that a routine's body starts with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import ServerError
from alembic_pgpipe.source.names import NAME, parts, passed_in, same_name, same_types, split
from alembic_pgpipe.source.reader import Statement, read_statements

DO_BLOCK = "inline_code_block"
PLPGSQL = re.compile(
    r"PL/pgSQL function (?P<name>.+?)(?:\((?P<types>.*)\))? line (?P<line>\d+)\b"
)
SQL = re.compile(r'SQL function "(?P<name>.+)" (?:statement (?P<number>\d+)|during \w+)')
HEAD = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\s+"
    rf"(?P<name>{NAME})\s*(?P<open>\()",
    re.I,
)
BODY = re.compile(r"\bAS\s+(?:(?P<tag>\$(?:[^\W\d]\w*)?\$)|E?')", re.I)
DO_BODY = re.compile(r"(?P<tag>\$(?:[^\W\d]\w*)?\$)|'")


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of CONTEXT: a routine, and how far it was.

    ``name`` is what the server calls it, in parts; ``types`` those of what is passed in,
    where it says so.  Of a PL/pgSQL routine the ``line`` of its body is known, from 1, of
    one in SQL the ``number`` of a statement in it.
    """

    label: str
    name: tuple[str, ...]
    types: tuple[str, ...] | None = None
    line: int | None = None
    number: int | None = None

    @property
    def is_do_block(self) -> bool:
        """Return whether it is a DO statement of the source itself."""
        return self.name == (DO_BLOCK,) and self.types is None


@dataclass(frozen=True, slots=True)
class Body:
    """The text between the quotes of a routine; it starts on ``line`` of the file."""

    path: str
    line: int
    text: str

    def line_of(self, frame: Frame) -> int | None:
        """Return the line of the file that a frame means, or None where it is unclear."""
        if frame.line is not None:
            return self.line + frame.line - 1
        try:
            statements = read_statements(self.text, self.path)
        except SourceError:
            return None
        number = frame.number or 0
        if not 1 <= number <= len(statements):
            return None
        return self.line + statements[number - 1].line - 1


def frames(said: ServerError) -> Iterator[Frame]:
    """Yield the routines that an error passed through, the innermost first."""
    for text in (said.context or "").splitlines():
        if found := PLPGSQL.match(text):
            types = found["types"]
            listed = None if types is None else tuple(split(types)) if types else ()
            yield Frame(found[0], parts(found["name"]), listed, line=int(found["line"]))
        elif found := SQL.match(text):
            # This one is given without its schema and as it is, so without quotes.
            yield _sql_frame(found, said)


def _sql_frame(found: re.Match[str], said: ServerError) -> Frame:
    if found["number"] is not None:
        return Frame(found[0], (found["name"],), number=int(found["number"]))
    # It could not be read: the server shows its body, and the place in it.
    before = (said.internal_query or "")[: (said.internal_position or 0)]
    line = before.count("\n") + 1 if before else None
    return Frame(found[0], (found["name"],), line=line)


def routine_body(frame: Frame, statements: Iterable[Statement]) -> Body | None:
    """Return the body of the last statement that creates a frame's routine."""
    found = None
    for statement in statements:
        if statement.words[:1] == ("CREATE",):
            found = _created(frame, statement) or found
    return found


def do_body(statement: Statement) -> Body | None:
    """Return the body of a DO statement."""
    return _body(DO_BODY.search(statement.text, statement.lead), statement)


def _created(frame: Frame, statement: Statement) -> Body | None:
    head = HEAD.match(statement.text, statement.lead)
    if head is None or not same_name(frame.name, parts(head["name"])):
        return None
    passed, end = passed_in(statement.text, head.start("open"))
    if frame.types is not None and not same_types(passed, frame.types):
        return None
    return _body(BODY.search(statement.text, end), statement)


def _body(opening: re.Match[str] | None, statement: Statement) -> Body | None:
    if opening is None:
        return None
    text, start = statement.text, opening.end()
    line = statement.line + text.count("\n", statement.lead, start)
    end = text.rfind(opening["tag"] or "'", start)
    return Body(statement.path, line, text[start : end if end >= 0 else len(text)])
