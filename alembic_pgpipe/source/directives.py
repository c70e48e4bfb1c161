"""Settings in a source's header comment.

``--retry`` or ``--skip`` alone on the first line; ``-- pgpipe: key = value`` on lines of
their own before any SQL; and ``--MSSDATABASE=NAME`` there or on the last line, as users
of the bash tool write it.  Everything but values is case-insensitive.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.reader import read_comments
from alembic_pgpipe.source.text import place

BLANKS = re.compile(r"[ \t\n\r\f\v]*")
LINE_COMMENT = re.compile(r"--[^\n\r]*")
COMMENT_BOUND = re.compile(r"/\*|\*/")
LINE_END = re.compile(r"\r\n|\n|\r|\Z")
FLAG = re.compile(r"--[ \t]*(retry|skip)[ \t]*\Z", re.I | re.A)
SETTING = re.compile(r"--[ \t]*pgpipe[ \t]*:[ \t]*(.*?)[ \t]*\Z", re.I | re.A | re.S)
DATABASE = re.compile(r"--[ \t]*MSSDATABASE[ \t]*=[ \t]*(.*?)[ \t]*\Z", re.I | re.A | re.S)
LATE = re.compile(r"--[ \t]*(?:pgpipe[ \t]*:|MSSDATABASE[ \t]*=)", re.I | re.A)
KEYS = ("transaction", "database", "lock_timeout", "statement_timeout", "role")
FLAGS = ("retry", "skip")
TIMEOUT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)[ \t]*(us|ms|s|min|h|d)?\Z", re.I | re.A)
MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
LONGEST = 2_147_483_647  # PostgreSQL keeps a time-out as milliseconds in an int


class Transaction(str, Enum):
    """What ``-- pgpipe: transaction = …`` asks for."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Directives:
    """The settings of one source; the time-outs are PostgreSQL's own spellings."""

    skip: bool = False
    retry: bool = False
    transaction: Transaction = Transaction.AUTO
    database: str | None = None
    lock_timeout: str | None = None
    statement_timeout: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """One directive as it stands in the text; the key is None where there is none."""

    offset: int
    key: str | None
    value: str


def read_directives(text: str, path: str) -> Directives:
    """Return the directives of a source.

    Raises :class:`SourceError` at an unknown key, a bad value, a key given twice, and at
    a directive behind the first SQL, where it would have no effect.
    """
    found: dict[str, str] = {}
    lines = list(_lines(text))
    for line in lines:
        key = _key(text, path, line)
        clash = next((flag for flag in FLAGS if key in FLAGS and flag in found), key)
        if clash in found:
            message = f"{_written(clash)} stands above already; keep one of the two"
            raise _error(text, path, line.offset, message)
        found[key] = _value(text, path, key, line)
    _refuse_late(text, path, frozenset(line.offset for line in lines))
    return Directives(
        skip="skip" in found,
        retry="retry" in found,
        transaction=Transaction(found.get("transaction", "auto")),
        database=found.get("database"),
        lock_timeout=found.get("lock_timeout"),
        statement_timeout=found.get("statement_timeout"),
        role=found.get("role"),
    )


def without_directives(text: str) -> str:
    """Return the text of a source without the lines that hold its directives."""
    pieces, done = [], 0
    for line in _lines(text):
        pieces.append(text[done : _line_start(text, line.offset)])
        end = LINE_END.search(text, line.offset)
        done = end.end() if end else len(text)
    return "".join((*pieces, text[done:]))


def _lines(text: str) -> Iterator[_Line]:
    """Yield every line that is a directive, right or wrong, in order."""
    flagged = False
    last = -1
    for offset, comment in _header(text):
        last = offset
        if match := SETTING.match(comment):
            key, equals, value = match[1].partition("=")
            yield _Line(offset, key.strip().lower() if equals else None, value.strip())
        elif match := DATABASE.match(comment):
            yield _Line(offset, "database", match[1])
        elif (match := FLAG.match(comment)) and (flagged or offset == 0):
            # A second flag counts only to be refused: further down it is a comment.
            flagged = True
            yield _Line(offset, match[1].lower(), "")
    offset = _last_line(text)
    if offset > last and (match := DATABASE.match(text[offset:].rstrip())):
        yield _Line(offset, "database", match[1])


def _header(text: str) -> Iterator[tuple[int, str]]:
    """Yield the ``--`` comments before any SQL that stand on lines of their own."""
    pos = 0
    while True:
        if blanks := BLANKS.match(text, pos):
            pos = blanks.end()
        if text.startswith("/*", pos):
            pos = _block_end(text, pos)
        elif comment := LINE_COMMENT.match(text, pos):
            if not text[_line_start(text, pos) : pos].strip():
                yield pos, comment[0]
            pos = comment.end()
        else:
            return


def _block_end(text: str, pos: int) -> int:
    """Return the end of a nested comment, or of the text: the reader will refuse it."""
    depth = 0
    for bound in COMMENT_BOUND.finditer(text, pos):
        depth += 1 if text[bound.start()] == "/" else -1
        if not depth:
            return bound.end()
    return len(text)


def _line_start(text: str, offset: int) -> int:
    """Return where the line of an offset starts; a bare CR ends a line too."""
    start = text.rfind("\n", 0, offset) + 1
    return max(start, text.rfind("\r", start, offset) + 1)


def _last_line(text: str) -> int:
    """Return where the text of the last line that is not blank starts."""
    end = len(text)
    while end and text[end - 1].isspace():
        end -= 1
    start = _line_start(text, end)
    return start + len(text[start:end]) - len(text[start:end].lstrip())


def _key(text: str, path: str, line: _Line) -> str:
    """Return the key of a directive, refused where it is missing or unknown."""
    if line.key in KEYS or (line.key in FLAGS and not line.value and _is_flag(text, line)):
        return str(line.key)
    comment = LINE_COMMENT.match(text, line.offset)
    name = line.key or (comment[0] if comment else "").partition(":")[2].strip().lower()
    if name in FLAGS:
        message = f"{name} is not a key; write `--{name}` alone on the first line"
    elif line.key is None:
        message = "this is not `-- pgpipe: key = value`; keys are " + ", ".join(KEYS)
    else:
        near = difflib.get_close_matches(name, KEYS, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]}? Keys" if near else "keys"
        message = f"unknown key {name!r}; {meant} are {', '.join(KEYS)}"
    raise _error(text, path, line.offset, message)


def _is_flag(text: str, line: _Line) -> bool:
    """Tell ``--retry`` from ``-- pgpipe: retry =``."""
    comment = LINE_COMMENT.match(text, line.offset)
    return bool(comment and FLAG.match(comment[0]))


def _value(text: str, path: str, key: str, line: _Line) -> str:
    """Return the value of a directive, refused where PostgreSQL could not use it."""
    value = line.value
    if key in FLAGS:
        return value
    if not value:
        raise _error(text, path, line.offset, f"{key} has no value")
    if key == "transaction":
        value = value.lower()
        if value not in {choice.value for choice in Transaction}:
            message = f"transaction = {line.value}: it must be auto, on or off"
            raise _error(text, path, line.offset, message)
    if key.endswith("_timeout"):
        value = value.lower()
        if not _is_timeout(value):
            message = f"{key} = {line.value}: write 0, 500ms, 5s, 2min or 1h"
            raise _error(text, path, line.offset, message)
    return value


def _is_timeout(value: str) -> bool:
    """Tell whether PostgreSQL reads a value as a time-out."""
    match = TIMEOUT.match(value)
    return match is not None and float(match[1]) * MILLISECONDS[match[2] or "ms"] <= LONGEST


def _refuse_late(text: str, path: str, known: frozenset[int]) -> None:
    """Refuse a directive behind the first SQL: it would be ignored without a word."""
    late = [
        at
        for at in (match.start() for match in LATE.finditer(text))
        if at not in known and not text[_line_start(text, at) : at].strip()
    ]
    if not late:
        return
    # Only the lexer knows which of them are comments and not part of a quote.
    comments = set(read_comments(text, path))
    for offset in late:
        if offset in comments:
            message = "a directive has no effect behind SQL; move it to the top of the file"
            raise _error(text, path, offset, message)


def _written(key: str) -> str:
    """Return a key as people write it."""
    return f"--{key}" if key in FLAGS else key


def _error(text: str, path: str, offset: int, message: str) -> SourceError:
    """Return the error to raise for a place in the text."""
    line, column = place(text, offset)
    return SourceError(path, message, line=line, column=column)
