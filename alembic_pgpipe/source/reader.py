"""Cut the text of a source into statements exactly as psql would.

The rules are those of psql's ``mainloop.c`` and ``copy.c``.  Where psql lets a file end
inside COPY data, the reader refuses it.  Nothing inside a statement is ever changed or
interpreted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.backslash import INCLUDE, RELATIVE, RESTRICT, Inclusion
from alembic_pgpipe.source.lexer import PLAIN_HEAD, PLAIN_STATEMENT, Lexer, plain_routine, watch
from alembic_pgpipe.source.window import LEAST_CHARACTERS, Truncated, Window

MOST_HEADS = 10_000
AFTER_COPY = re.compile(
    r"[ \t\r\f\v;]*(?:/\*[^*/\n\r]*\*/[ \t\r\f\v;]*)?(?:--[^\n\r]*\r?)?(?=\n|\Z)"
)
END_OF_DATA = "\\."
NO_END_OF_DATA = r"this COPY has no end of data; add a line `\.` after the last row"
STRINGS = "STANDARD_CONFORMING_STRINGS"
STRINGS_SETTING = re.compile(rf"{STRINGS}\s*(?:=|\bTO\b)\s*'?(\w*)'?\s*;?\s*\Z", re.I | re.A)
STRINGS_VALUES = {
    **dict.fromkeys(("on", "true", "tru", "tr", "t", "yes", "ye", "y", "1", "default"), True),
    **dict.fromkeys(("off", "of", "false", "fals", "fal", "fa", "f", "no", "n", "0"), False),
}
ENCODINGS = frozenset({"CLIENT_ENCODING", "NAMES"})
UTF8 = re.compile(
    r"(?:=|\bTO\b|\bNAMES\b)\s*'?(?:UTF-?_?8|UNICODE|DEFAULT)'?\s*;?\s*\Z", re.I | re.A
)


class CopyData:
    """The rows that follow a ``COPY … FROM STDIN;``; they are read once, in order.

    ``line`` is where they start in the file.  ``digest`` tells the rows apart, where they
    are kept in memory.
    """

    def __init__(self, pieces: Iterator[str], line: int, digest: str = "") -> None:
        self.line = line
        self.digest = digest
        self._pieces = pieces
        self._piece = ""
        self._at = 0

    def read(self, size: int = -1) -> str:
        """Return at most ``size`` characters, or all; nothing at the end."""
        if size < 0:
            return "".join(iter(lambda: self.read(LEAST_CHARACTERS), ""))
        if self._at == len(self._piece):
            self._piece, self._at = next(self._pieces, ""), 0
        part = self._piece[self._at : self._at + size]
        self._at += len(part)
        return part

    def skip(self) -> None:
        """Pass over what has not been read."""
        for _ in self._pieces:
            pass


class Statement(NamedTuple):
    """One piece of a source that the server receives as a unit.

    ``text`` is the file's own text, from the first token (or a ``/*`` comment ahead of
    it, which may hold hints for the server) to the semicolon; ``offset`` says where it
    starts.  ``line`` and ``column`` are the first token's, ``lead`` characters further on.
    ``words`` are the leading keywords and names, upper-cased; quoted names stay as
    written.  ``data`` is what COPY reads.  ``standard_strings`` is how plain strings were
    read, and the server must read them.  A tuple, because a file may hold millions.
    """

    text: str
    offset: int
    line: int
    column: int
    words: tuple[str, ...]
    path: str
    data: CopyData | None = None
    lead: int = 0
    standard_strings: bool = True

    @property
    def content(self) -> str:
        """Return the text, with what tells the rows of a COPY apart that are in memory."""
        return f"{self.text}\n{self.data.digest}" if self.data is not None else self.text

    def position_of(self, character: int) -> tuple[int, int]:
        """Return line and column in the file of the server's 1-based error position."""
        before = self.text[self.lead : max(character - 1, self.lead)]
        breaks = before.count("\n")
        if not breaks:
            return self.line, self.column + len(before)
        return self.line + breaks, len(before) - before.rfind("\n")


@dataclass(frozen=True, slots=True)
class Comment:
    """A ``--`` comment; ``alone`` where nothing but blanks stands ahead of it on its line."""

    path: str
    text: str
    line: int
    column: int
    alone: bool


Include = Callable[[Inclusion, "Reader"], "Reader"]


def read_statements(text: str, path: str) -> tuple[Statement, ...]:
    """Return the statements of a text that is at hand as a whole.

    Raises :class:`SourceError` at a backslash command, or where something was opened
    that never ends.
    """
    return tuple(map(kept, Reader(iter((text,)), path).statements()))


def kept(statement: Statement) -> Statement:
    """Return a statement that can be used later: with the rows of a COPY in memory."""
    data = statement.data
    if data is None:
        return statement
    rows = data.read()
    digest = hashlib.sha256(rows.replace("\r\n", "\n").encode()).hexdigest()
    return statement._replace(data=CopyData(iter((rows,)), data.line, digest))


def without_comments(statement: Statement) -> str:
    """Return a statement's text with each comment replaced by a blank."""
    lexer = Lexer(Window(iter((statement.text,)), statement.path))
    lexer.end(0, None)
    pieces, done = [], 0
    for at, end in lexer.comments:
        pieces.append(statement.text[done:at])
        done = end
    return " ".join((*pieces, statement.text[done:]))


class Reader:
    r"""One pass over one text that comes in pieces.

    ``include`` opens what ``\i`` names; without it, ``\i`` is refused.  ``depth`` is how
    many files include this one.
    """

    def __init__(
        self,
        pieces: Iterator[str],
        path: str,
        include: Include | None = None,
        least: int = LEAST_CHARACTERS,
        depth: int = 0,
    ) -> None:
        self.path = path
        self.depth = depth
        self._window = Window(pieces, path, least)
        self._lexer = Lexer(self._window)
        self._include = include
        self._included: Reader | None = None
        self._at = 0
        self._end = 0
        self._heads: dict[str, tuple[str, ...]] = {}
        self._data: CopyData | None = None

    @property
    def standard_strings(self) -> bool:
        """Return whether the server is to take backslashes in plain strings as they are."""
        return self._lexer.standard_strings

    @standard_strings.setter
    def standard_strings(self, value: bool) -> None:
        self._lexer.standard_strings = value

    def statements(self) -> Iterator[Statement]:
        """Yield the statements of the text in order."""
        while True:
            yield from self._plain()
            found = self._next()
            if found is None:
                return
            if isinstance(found, Statement):
                yield found
                self._skip_data()
            else:
                yield from self._of_included(found)

    @property
    def has_comments(self) -> bool:
        """Return whether there may be line comments to be looked at."""
        return bool(self._lexer.comments) or self._included is not None

    def line_comments(self) -> Iterator[Comment]:
        """Yield the ``--`` comments ahead of and within the statement read last.

        At the end of the text it is those behind the last statement.
        """
        if self._included is not None:
            yield from self._included.line_comments()
        text = self._window.text
        for at, end in self._lexer.comments:
            if text[at] == "-" and at < self._end:
                line, column = self._window.look_at(at)
                start = text.rfind("\n", 0, at) + 1
                start = max(start, text.rfind("\r", start, at) + 1)
                alone = not text[start:at].strip() and (start > 0 or column == at + 1)
                yield Comment(self.path, text[at:end], line, column, alone)

    def _plain(self) -> Iterator[Statement]:  # noqa: PLR0915
        """Yield the statements that can be read with one look each, up to one that cannot."""
        # Written for speed: a large file is nothing but these.
        self._lexer.comments.clear()
        if not self.standard_strings:
            return
        window, heads, path = self._window, self._heads, self.path
        text, offset, at = window.text, window.start, self._at
        look, new = PLAIN_STATEMENT.match, tuple.__new__
        counted, line, line_start = window.counted, window.line, window.line_start
        found = "\n"
        while True:
            before, before_end = found, at
            if match := look(text, at):
                found, head = match.group(1, 2)
                at = match.end()
                start = at - len(found)
            elif routine := plain_routine(text, at):
                start, at = routine
                found = text[start:at]
                head = self._plain_head(start)
            else:
                break
            if start == before_end + 1 and text[before_end] == "\n" and "\n" not in before:
                line, line_start = line + 1, start
            elif breaks := text.count("\n", counted, start):
                line += breaks
                line_start = text.rfind("\n", counted, start) + 1
            counted = start
            words = heads.get(head) or self._learn(head)
            column = start - line_start + 1
            yield new(
                Statement, (found, offset + start, line, column, words, path, None, 0, True)
            )
        self._at = self._end = at
        window.line, window.line_start, window.counted = line, line_start, counted

    def _plain_head(self, start: int) -> str:
        head = PLAIN_HEAD.match(self._window.text, start)
        return head[0] if head else " ".join(self._lexer.words(start))

    def _next(self) -> Statement | Inclusion | None:
        """Return what comes next; where the window is too short for it, move that."""
        while True:
            self._lexer.comments.clear()
            try:
                return self._any()
            except Truncated:
                self._window.move(self._at)
                self._at = 0

    def _skip_data(self) -> None:
        if self._data is not None:
            self._data.skip()
            self._data = None

    def _any(self) -> Statement | Inclusion | None:
        """Return the next statement or inclusion, read token by token."""
        text = self._window.text
        start = self._lexer.token_start(self._at)
        while text.startswith("\\", start):
            if (found := self._inclusion(start)) is not None:
                return found
            start = self._lexer.token_start(self._restricted(start))
        if start == len(text):
            self._at = self._end = start
            return None
        return self._statement(start)

    def _statement(self, start: int) -> Statement:
        words, body = self._head(start)
        watched = watch(words)
        end = self._lexer.end(start if watched else body, watched)
        after = end
        if watched and watched.from_stdin:
            after = self._data_start(start, end)
        lead = self._lead(start)
        line, column = self._window.place(start)
        text = self._window.text[start - lead : end]
        offset = self._window.start + start - lead
        self._at, self._end = after, end
        if watched and watched.from_stdin:
            self._data = CopyData(self._rows(start), self._window.look_at(after)[0])
        read = self.standard_strings
        found = Statement(text, offset, line, column, words, self.path, self._data, lead, read)
        self._follow_strings(found)
        return found

    def _head(self, start: int) -> tuple[tuple[str, ...], int]:
        """Return a statement's leading words, and where to go on reading."""
        match = PLAIN_HEAD.match(self._window.text, start)
        if match is None:
            return self._lexer.words(start), start
        head = match[0]
        return self._heads.get(head) or self._learn(head), match.end()

    def _learn(self, head: str) -> tuple[str, ...]:
        if len(self._heads) >= MOST_HEADS:
            self._heads.clear()
        return self._heads.setdefault(head, tuple(head.upper().split()))

    def _lead(self, start: int) -> int:
        """Return how far ahead of the first token its first ``/*`` comment starts.

        psql sends such comments with the statement, unless a semicolon or a command
        comes between them.
        """
        text, first, pos = self._window.text, start, start
        for at, end in reversed(self._lexer.comments):
            if end > start:
                continue
            if ";" in text[end:pos] or "\\" in text[end:pos]:
                break
            pos = at
            if text[at] == "/":
                first = at
        return start - first

    # -- backslash commands ------------------------------------------------------------

    def _restricted(self, at: int) -> int:
        r"""Return the end of ``\restrict`` and ``\unrestrict``; refuse other commands."""
        match = RESTRICT.match(self._window.text, at)
        if match is None:
            raise self._lexer.refused_command(at)
        if match.end() == len(self._window.text) and not self._window.complete:
            raise Truncated
        return match.end()

    def _inclusion(self, at: int) -> Inclusion | None:
        match = INCLUDE.match(self._window.text, at)
        if match is None or self._include is None:
            return None
        if match.end() == len(self._window.text) and not self._window.complete:
            raise Truncated
        self._at = self._end = match.end()
        line, column = self._window.look_at(at)
        file = match["quoted"] or match["bare"]
        return Inclusion(file, match["command"] in RELATIVE, line, column)

    def _of_included(self, inclusion: Inclusion) -> Iterator[Statement]:
        assert self._include is not None
        included = self._included = self._include(inclusion, self)
        included.standard_strings = self.standard_strings
        yield from included.statements()
        self.standard_strings = included.standard_strings
        self._included = None

    # -- standard_conforming_strings ---------------------------------------------------

    def _follow_strings(self, statement: Statement) -> None:
        """Read on as psql does after the server was told how to read plain strings."""
        words = statement.words
        if words[:1] == ("SET",) and ENCODINGS.intersection(words[1:3]):
            self._refuse_other_encoding(statement)
        if words[:1] == ("SET",) and STRINGS in words[1:3]:
            match = STRINGS_SETTING.search(without_comments(statement))
            value = STRINGS_VALUES.get(match[1].lower()) if match else None
            if value is None:
                message = "write standard_conforming_strings = on or off, and no other value"
                raise SourceError.at(statement, message)
            self.standard_strings = value
        elif words[:2] in (("RESET", STRINGS), ("RESET", "ALL"), ("DISCARD", "ALL")):
            self.standard_strings = True

    def _refuse_other_encoding(self, statement: Statement) -> None:
        if UTF8.search(without_comments(statement)) is None:
            message = "sources are UTF-8: save this file as UTF-8, and remove this statement"
            raise SourceError.at(statement, message)

    # -- COPY --------------------------------------------------------------------------

    def _data_start(self, start: int, end: int) -> int:
        """Return where the rows behind a COPY start: on the next line."""
        window = self._window
        rest = AFTER_COPY.match(window.text, end)
        line_end = rest.end() if rest else end
        if line_end + 1 > len(window.text) and not window.complete:
            raise Truncated
        if rest is None:
            message = "COPY data starts on the next line: put what follows behind the data"
            if "\n" not in window.text[end:]:
                raise window.unfinished(end, message)
            raise window.error(end, message)
        if line_end == len(window.text):
            raise window.error(start, NO_END_OF_DATA)
        return line_end + 1

    def _rows(self, start: int) -> Iterator[str]:
        r"""Yield the rows from where the reader is to the ``\.`` line, whole lines each."""
        window = self._window
        copy = window.look_at(start)
        while True:
            end, after = self._end_of_data()
            if end >= 0:
                rows, self._at = window.text[self._at : end], after
                if rows:
                    yield rows
                return
            if window.complete:
                raise SourceError(self.path, NO_END_OF_DATA, line=copy[0], column=copy[1])
            whole = window.text.rfind("\n", self._at) + 1
            rows, self._at = window.text[self._at : whole], max(whole, self._at)
            if rows:
                yield rows
            window.move(self._at)
            self._at = 0

    def _end_of_data(self) -> tuple[int, int]:
        r"""Return where the ``\.`` line starts and ends; negative where there is none."""
        text, complete = self._window.text, self._window.complete
        # Python looks for one character much faster than for two.
        at = text.find(END_OF_DATA, self._at) if "\\" in text else -1
        while at >= 0:
            after = at + len(END_OF_DATA)
            if text.startswith("\r", after):
                after += 1
            ends = text.startswith("\n", after) or (complete and after == len(text))
            if ends and (at == self._at or text[at - 1] == "\n"):
                return at, after
            at = text.find(END_OF_DATA, at + 1)
        return -1, -1
