"""Where a line of a routine stands in the project's files, from what CONTEXT says of it.

The server counts lines from the quote that a routine's body starts with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import ServerError
from alembic_pgpipe.source import Statement, read_statements

DO_BLOCK = "inline_code_block"
PLPGSQL = re.compile(
    r"PL/pgSQL function (?P<name>.+?)(?:\((?P<types>.*)\))? line (?P<line>\d+)\b"
)
SQL = re.compile(r'SQL function "(?P<name>.+)" (?:statement (?P<number>\d+)|during \w+)')
_WORD = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
WORD = re.compile(_WORD)
HEAD = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\s+"
    rf"(?P<name>{_WORD}(?:\s*\.\s*{_WORD})*)\s*(?P<open>\()",
    re.I,
)
BODY = re.compile(r"\bAS\s+(?:(?P<tag>\$(?:[^\W\d]\w*)?\$)|E?')", re.I)
DO_BODY = re.compile(r"(?P<tag>\$(?:[^\W\d]\w*)?\$)|'")
# What splits an argument list: brackets, commas, and quotes whose insides do not count.
MARKS = re.compile(
    r"(\$(?:[^\W\d]\w*)?\$)[\s\S]*?\1|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[(),\[\]]"
)
DEFAULT = re.compile(r"\s+DEFAULT\b.*|\s*:?=.*", re.I | re.S)
NOT_PASSED_IN = re.compile(r"\s*(?:OUT|TABLE)\s", re.I)
MODIFIERS = re.compile(r"\s*\([^)]*\)")
# What the server does not keep of a type: where it comes from, and how many dimensions.
CATALOG = re.compile(r"\bpg_catalog\s*\.\s*", re.I)
ARRAY = re.compile(r"(?:\s+array\b)?(?:\s*\[\d*\])+\Z|\s+array\Z", re.I)
FLOAT = re.compile(r"\bfloat\s*\(\s*(?P<bits>\d+)\s*\)", re.I)
FIELDS = re.compile(
    r"(?<=interval)\s+(?:year|month|day|hour|minute|second)(?:\s+to\s+\w+)?(?=(?:\[\])?\Z)",
    re.I,
)
OF_A_COLUMN = "%type"
# The server folds no other letters, and keeps no more of a name.
FOLDED = str.maketrans(ascii_uppercase, ascii_lowercase)
NAME_BYTES = 63
# Of more binary digits than these, a float is a double.
REAL_BITS = 24
SPELLINGS = {
    "int": "integer",
    "int4": "integer",
    "int8": "bigint",
    "int2": "smallint",
    "bool": "boolean",
    "decimal": "numeric",
    "dec": "numeric",
    "bpchar": "character",
    "nchar": "character",
    "varbit": "bit varying",
    "varchar": "character varying",
    "char": "character",
    "float4": "real",
    "float8": "double precision",
    "float": "double precision",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "timestamp": "timestamp without time zone",
    "time": "time without time zone",
}


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


def parts(name: str) -> tuple[str, ...]:
    """Return the parts of a qualified name as the catalogue has them."""
    return tuple(
        _cut(word[1:-1].replace('""', '"') if word.startswith('"') else word.translate(FOLDED))
        for word in WORD.findall(name)
    )


def _cut(name: str) -> str:
    return name.encode()[:NAME_BYTES].decode(errors="ignore")


def passed_in(text: str, opening: int) -> tuple[list[str], int]:
    """Return the declared arguments that a caller passes in, and where their list ends.

    ``opening`` is the offset of its bracket.
    """
    end = _end_of_list(text, opening)
    declared = split(text[opening + 1 : end])
    return [one for one in declared if one.strip() and not NOT_PASSED_IN.match(one)], end


def same_types(arguments: list[str], types: tuple[str, ...]) -> bool:
    """Tell whether arguments, as they are declared, are of types as the server has them."""
    return len(arguments) == len(types) and all(map(_has_type, arguments, types))


def split(text: str) -> list[str]:
    """Return the items of a list, split at the commas outside brackets and quotes."""
    items, depth, start = [], 0, 0
    for mark in MARKS.finditer(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(mark[0], 0)
        if mark[0] == "," and depth == 0:
            items.append(text[start : mark.start()].strip())
            start = mark.end()
    return [*items, text[start:].strip()]


def same_name(called: tuple[str, ...], created: tuple[str, ...]) -> bool:
    """Tell whether names agree; a schema that one of them lacks came from search_path."""
    shared = min(len(called), len(created))
    return called[-shared:] == created[-shared:]


def _created(frame: Frame, statement: Statement) -> Body | None:
    head = HEAD.match(statement.text, statement.lead)
    if head is None or not same_name(frame.name, parts(head["name"])):
        return None
    passed, end = passed_in(statement.text, head.start("open"))
    if frame.types is not None and not same_types(passed, frame.types):
        return None
    return _body(BODY.search(statement.text, end), statement)


def _has_type(argument: str, type_: str) -> bool:
    """Tell whether an argument, as it is declared, ends with a type."""
    said = CATALOG.sub("", DEFAULT.sub("", argument)).strip().lower()
    said = MODIFIERS.sub("", FLOAT.sub(_float, said))
    if said.endswith(OF_A_COLUMN):
        return True  # which type that is, the text does not say
    said = FIELDS.sub("", ARRAY.sub("[]", said))
    wanted = MODIFIERS.sub("", type_).strip().lower()
    first, _, last = said.rpartition(" ")
    array = last[len(last.rstrip("[]")) :]
    spelled = SPELLINGS.get(last.rstrip("[]"), last.rstrip("[]")) + array
    ways = (said, f"{first} {spelled}", last.rpartition(".")[2])
    bare = wanted.rpartition(".")[2]
    return any(f" {way}".endswith((f" {wanted}", f" {bare}")) for way in ways)


def _float(match: re.Match[str]) -> str:
    return "real" if int(match["bits"]) <= REAL_BITS else "double precision"


def _body(opening: re.Match[str] | None, statement: Statement) -> Body | None:
    if opening is None:
        return None
    text, start = statement.text, opening.end()
    line = statement.line + text.count("\n", statement.lead, start)
    end = text.rfind(opening["tag"] or "'", start)
    return Body(statement.path, line, text[start : end if end >= 0 else len(text)])


def _end_of_list(text: str, opening: int) -> int:
    depth = 0
    for mark in MARKS.finditer(text, opening):
        depth += {"(": 1, ")": -1}.get(mark[0], 0)
        if depth == 0 and mark[0] == ")":
            return mark.start()
    return len(text)
