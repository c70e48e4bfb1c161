"""Settings in a source's header comment.

``--retry`` or ``--skip`` alone on the first line; ``-- pgpipe: key = value`` on lines of
their own before any SQL; and ``--MSSDATABASE=NAME`` there or on the last line, as users
of the bash tool write it.  Everything but values is case-insensitive.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.files import is_undo, undo_file
from alembic_pgpipe.source.other_tools import begins_undo
from alembic_pgpipe.source.reader import Comment, Reader
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
NEARLY = re.compile(
    r"--(?P<more>retry|skip)(?=[ \t]*\S)"
    r"|--[ \t]*(?:(?P<flag>retry|skip)[ \t]*\Z|(?P<bash>-*[ \t]*MSSDATABASE)\b"
    rf"|pgpipe\b[^\n:\w]*(?:{'|'.join((*KEYS, *FLAGS))})\b)",
    re.I | re.A,
)
LIKE_BASH = re.compile(r"--[- \t]*MSSDATABASE\b", re.I | re.A)
SAID_DATABASE = re.compile(
    r"(?:\A|, )database = (.*?)(?=, (?:lock_timeout|statement_timeout|role) = |\Z)", re.S
)
TIMEOUT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)[ \t]*(us|ms|s|min|h|d)?\Z", re.I | re.A)
MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
NO_EFFECT = "a directive has no effect behind SQL; move it to the top of the file"
UNDO_BELOW = (
    "by this line of another tool, what is below undoes what is above; here all of it would "
    "run. Move what is below into {}"
)
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

    def __str__(self) -> str:
        """Return those that decide how the source runs, as they are written; in one order."""
        auto = self.transaction is Transaction.AUTO
        given = {key: getattr(self, key) for key in KEYS}
        given["transaction"] = None if auto else self.transaction.value
        return ", ".join(f"{key} = {given[key]}" for key in KEYS if given[key] is not None)


def said_database(directives: str) -> str | None:
    """Return the database in directives as ``str`` has written them, or None."""
    found = SAID_DATABASE.search(directives)
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class _Line:
    """One directive: its place, its key (None where there is none) and its value."""

    line: int
    column: int
    comment: str
    key: str | None
    value: str


class DirectiveReader:
    """Collects the directives of a source while its statements are read.

    ``head`` is the beginning of the text, with all comments ahead of the SQL.  Raises
    :class:`SourceError` at an unknown key, a bad value, a key given twice.
    """

    def __init__(self, head: str, path: str) -> None:
        self._path = path
        self._head = head
        self._found: dict[str, str] = {}
        self._last: Comment | None = None
        lines = [_line(head, *found) for found in _lines(head)]
        self._places = {(line.line, line.column) for line in lines}
        for line in lines:
            self._add(line)

    @property
    def header(self) -> Directives:
        """Return what the header alone says: all that is known of a broken source."""
        return _directives(self._found)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return which comments of header and last line are nearly directives, and why."""
        near = [(place(self._head, at), c) for at, c in _header(self._head) if NEARLY.match(c)]
        lines = {found[0]: c for found, c in near if found not in self._places}
        last = self._last
        if last is not None and last.path == self._path and LIKE_BASH.match(last.text):
            lines[last.line] = last.text
        return tuple(
            f"{self._path}:{line}: {comment[:80]} {_doubt(comment)}"
            for line, comment in lines.items()
        )

    def see(self, comments: Iterable[Comment]) -> None:
        """Take the ``--`` comments ahead of or within a statement.

        Raises :class:`SourceError` at a directive behind the first SQL, where it would
        have no effect, and where by the mark of another tool an undo begins.
        """
        for comment in comments:
            self._refuse_late(comment)
            if comment.alone and not is_undo(self._path) and begins_undo(comment.text):
                message = UNDO_BELOW.format(undo_file(comment.path))
                raise _error(comment.path, comment, message)

    def finish(self, comments: Iterable[Comment]) -> Directives:
        """Take the comments behind the last statement; return all directives.

        The last of them may name the database, as users of the bash tool write it.
        """
        found = list(comments)
        for comment in found[:-1]:
            self._refuse_late(comment)
        if found and not self._is_of_header(last := found[-1]):
            match = DATABASE.match(last.text)
            # Behind a last COMMIT it counts as well, unless it is a sentence.
            if match and (last.alone or " " not in match[1]):
                self._add(_Line(last.line, last.column, last.text, "database", match[1]))
            else:
                self._refuse_late(last)
                self._last = last
        return _directives(self._found)

    def _refuse_late(self, comment: Comment) -> None:
        is_directive = comment.alone and LATE.match(comment.text) is not None
        if is_directive and not self._is_of_header(comment):
            raise _error(comment.path, comment, NO_EFFECT)

    def _is_of_header(self, comment: Comment) -> bool:
        return comment.path == self._path and (comment.line, comment.column) in self._places

    def _add(self, line: _Line) -> None:
        key = _key(self._path, line)
        clash = next((f for f in FLAGS if key in FLAGS and f in self._found), key)
        if clash in self._found:
            message = f"{_written(clash)} stands above already; keep one of the two"
            raise _error(self._path, line, message)
        self._found[key] = _value(self._path, key, line)


def read_directives(text: str, path: str) -> Directives:
    """Return the directives of a source that is at hand as a whole.

    Raises what :class:`DirectiveReader` and the reader raise.
    """
    directives = DirectiveReader(text, path)
    reader = Reader(iter((text,)), path)
    for _ in reader.statements():
        directives.see(reader.line_comments())
    return directives.finish(reader.line_comments())


def without_header_directives(text: str) -> str:
    """Return a text without the lines of its header that hold directives."""
    pieces, done = [], 0
    for offset, _, _ in _lines(text):
        pieces.append(text[done : _line_start(text, offset)])
        end = LINE_END.search(text, offset)
        done = end.end() if end else len(text)
    return "".join((*pieces, text[done:]))


def is_database_line(line: str) -> bool:
    """Tell whether a last line is ``--MSSDATABASE=NAME``."""
    return DATABASE.match(line.strip()) is not None


def _directives(found: Mapping[str, str]) -> Directives:
    return Directives(
        skip="skip" in found,
        retry="retry" in found,
        transaction=Transaction(found.get("transaction", "auto")),
        database=found.get("database"),
        lock_timeout=found.get("lock_timeout"),
        statement_timeout=found.get("statement_timeout"),
        role=found.get("role"),
    )


def _lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield each line of the header that is a directive, and whether it is a flag."""
    flagged = False
    for offset, comment in _header(text):
        if SETTING.match(comment) or DATABASE.match(comment):
            yield offset, comment, False
        elif FLAG.match(comment) and (flagged or offset == 0):
            # A second flag counts only to be refused: further down it is a comment.
            flagged = True
            yield offset, comment, True


def _doubt(comment: str) -> str:
    """Return what is wrong with a comment that nearly is a directive."""
    nearly = NEARLY.match(comment)
    if nearly and nearly["flag"]:
        return "is only a comment here; it counts on the first line"
    if nearly and nearly["more"]:
        return f"is only a comment; --{nearly['more'].lower()} stands alone on the first line"
    wanted = "--MSSDATABASE=NAME" if nearly and nearly["bash"] else "-- pgpipe: key = value"
    return f"is only a comment; a directive is written {wanted}"


def _line(text: str, offset: int, comment: str, is_flag: bool) -> _Line:
    at = place(text, offset)
    if is_flag:
        match = FLAG.match(comment)
        return _Line(*at, comment, match[1].lower() if match else None, "")
    if match := SETTING.match(comment):
        key, equals, value = match[1].partition("=")
        return _Line(*at, comment, key.strip().lower() if equals else None, value.strip())
    match = DATABASE.match(comment)
    return _Line(*at, comment, "database", match[1] if match else "")


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


def _key(path: str, line: _Line) -> str:
    """Return the key of a directive, refused where it is missing or unknown."""
    if line.key in KEYS or (line.key in FLAGS and not line.value and _is_flag(line)):
        return str(line.key)
    name = line.key or line.comment.partition(":")[2].strip().lower()
    if name in FLAGS:
        message = f"{name} is not a key; write `--{name}` alone on the first line"
    elif line.key is None:
        message = "this is not `-- pgpipe: key = value`; keys are " + ", ".join(KEYS)
    else:
        near = difflib.get_close_matches(name, KEYS, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]}? Keys" if near else "keys"
        message = f"unknown key {name!r}; {meant} are {', '.join(KEYS)}"
    raise _error(path, line, message)


def _is_flag(line: _Line) -> bool:
    """Tell ``--retry`` from ``-- pgpipe: retry =``."""
    return FLAG.match(line.comment) is not None


def _value(path: str, key: str, line: _Line) -> str:
    """Return the value of a directive, refused where PostgreSQL could not use it."""
    value = line.value
    if key in FLAGS:
        return value
    if not value:
        raise _error(path, line, f"{key} has no value")
    if key == "transaction":
        value = value.lower()
        if value not in {choice.value for choice in Transaction}:
            message = f"transaction = {line.value}: it must be auto, on or off"
            raise _error(path, line, message)
    if key.endswith("_timeout"):
        value = value.lower()
        if not _is_timeout(value):
            message = f"{key} = {line.value}: write 0, 500ms, 5s, 2min or 1h"
            raise _error(path, line, message)
    return value


def _is_timeout(value: str) -> bool:
    """Tell whether PostgreSQL reads a value as a time-out."""
    match = TIMEOUT.match(value)
    return match is not None and float(match[1]) * MILLISECONDS[match[2] or "ms"] <= LONGEST


def _written(key: str) -> str:
    """Return a key as people write it."""
    return f"--{key}" if key in FLAGS else key


def _error(path: str, at: _Line | Comment, message: str) -> SourceError:
    """Return the error to raise for a line."""
    return SourceError(path, message, line=at.line, column=at.column)
