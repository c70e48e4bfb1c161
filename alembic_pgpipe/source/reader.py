"""psql's lexer: cut the text of a source into statements exactly as psql would.

The rules are those of psql's ``psqlscan.l`` and ``mainloop.c``.  Where psql lets a
file end inside a quote, a comment, a parenthesis or COPY data, the reader refuses it.
Nothing inside a statement is ever changed or interpreted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.text import place

MOST_WORDS = 12
BLANK_CHARACTERS = " \t\n\r\f\v"

# psql counts every byte above 127 as a letter.
_START = r"A-Za-z_\x80-\U0010ffff"
_IDENTIFIER = rf"[{_START}][{_START}0-9$]*"
_NAME = rf'(?:(?:[uU]&)?"[^"]*(?:""[^"]*)*"|{_IDENTIFIER})'
_BLANK = r"[ \t\n\r\f\v]"

BLANKS = re.compile(rf"{_BLANK}*")
NOT_BLANK = re.compile(r"[^ \t\n\r\f\v;]")
COMMENT = re.compile(r"--[^\n\r]*")
COMMENT_BOUND = re.compile(r"/\*|\*/")
IDENTIFIER_REST = re.compile(rf"[{_START}0-9$]*")
WORD = re.compile(rf"{_NAME}(?:{_BLANK}*\.{_BLANK}*{_NAME})*")
WORD_BREAK = re.compile(rf"{_BLANK}*\.{_BLANK}*")
# The usual head of a statement in one go; whatever is less plain takes the long way.
PLAIN_HEAD = re.compile(
    rf"[A-Za-z_][A-Za-z0-9_.]*(?:{_BLANK}+[A-Za-z_][A-Za-z0-9_.]*){{0,{MOST_WORDS - 1}}}"
    rf"(?={_BLANK}*[(;=*,]|{_BLANK}+['$])"
)
# A pair of parentheses with plain text, strings and one more pair inside is one token;
# the bound keeps the engine's memory small.  In E'…' the quote is not plain.
_PLAIN = r"[^()'\"$\\/-]*"
_GROUP = rf"\({_PLAIN}(?:(?:(?<![eE])'[^']*'|\({_PLAIN}\)|-(?!-)){_PLAIN}){{0,200}}\)"
# Every alternative starts with a literal: only then does the regex engine skip ahead
# to the next candidate instead of trying each alternative at each character.
_TOKENS = (
    rf";|{_GROUP}|\(|\)|'[^']*'?|\"[^\"]*\"?|--[^\n\r]*|/\*|\\"
    rf"|\$(?:[0-9]+|(?:[{_START}][{_START}0-9]*)?\$)"
)
TOKEN = re.compile(_TOKENS)
# Spelt out letter by letter for the same reason.
_BLOCK_WORD = rf"{{}}{{}}(?![{_START}0-9$])"
_BLOCK_WORDS = (
    *(("b", "[eE][gG][iI][nN]"), ("B", "[eE][gG][iI][nN]"), ("c", "[aA][sS][eE]")),
    *(("C", "[aA][sS][eE]"), ("e", "[nN][dD]"), ("E", "[nN][dD]")),
)
COPY_TOKEN = re.compile(rf"{_TOKENS}|{_IDENTIFIER}")
ROUTINE_TOKEN = re.compile(
    "|".join((_TOKENS, *(_BLOCK_WORD.format(*word) for word in _BLOCK_WORDS)))
)
NOT_WORDS = frozenset(";()'\"-/\\$")
IDENTIFIER_ASCII = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$")
ESCAPED = re.compile(r"\\.|''|'", re.DOTALL)
# A string goes on after a line break, and an E'' string keeps its backslashes there.
CONTINUATION = re.compile(rf"[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:{_BLANK}|--[^\n\r]*[\n\r])*'")
AFTER_COPY = re.compile(
    r"[ \t\r\f\v;]*(?:/\*[^*/\n\r]*\*/[ \t\r\f\v;]*)?(?:--[^\n\r]*\r?)?(?=\n|\Z)"
)
RESTRICT = re.compile(r"\\(?:un)?restrict[ \t]+[A-Za-z0-9]+[ \t\r]*(?=\n|\Z)")
COMMAND = re.compile(r"\\(?:[A-Za-z_]+\+?|\S)?")
STRINGS_SETTING = re.compile(
    r"STANDARD_CONFORMING_STRINGS\s*(?:=|\bTO\b)\s*'?(\w*)'?\s*;?\s*\Z", re.I | re.A
)
STRINGS_ON = frozenset({"on", "true", "tru", "tr", "t", "yes", "ye", "y", "1", "default"})
LITERAL_PREFIXES = frozenset({"E", "B", "X", "N"})
ROUTINES = frozenset(
    {
        ("CREATE", "FUNCTION"),
        ("CREATE", "PROCEDURE"),
        ("CREATE", "OR", "REPLACE", "FUNCTION"),
        ("CREATE", "OR", "REPLACE", "PROCEDURE"),
    }
)

_DATABASE_HINT = "a source names its database with `-- pgpipe: database = NAME`"
_INCLUDE_HINT = "put that file's text into this source"
_SEND_HINT = "end the statement with a semicolon"
_SHELL_HINT = "a source runs no programs and writes no files; do that in the pipeline"
_VARIABLE_HINT = "sources have no variables; write the value itself"
_BRANCH_HINT = "sources have no branches; use a DO block"
HINTS = (
    (("c", "connect"), _DATABASE_HINT),
    (("i", "include", "ir", "include_relative"), _INCLUDE_HINT),
    (("copy",), "use COPY … FROM STDIN with the data in this file"),
    (("!", "o", "out", "w", "write", "s", "cd", "setenv"), _SHELL_HINT),
    (("g", "gx", "gdesc", "gexec", "gset", "bind", "parse", "sendpipeline"), _SEND_HINT),
    (("watch", "crosstabview", "p", "r"), _SEND_HINT),
    ((";",), "write a plain `;`: statements are sent one by one"),
    (("set", "unset", "getenv", "prompt"), _VARIABLE_HINT),
    (("if", "elif", "else", "endif"), _BRANCH_HINT),
    (("q", "quit"), "remove it: a source is read to its end"),
    (("echo", "qecho", "warn"), "use RAISE NOTICE in a DO block"),
    (("encoding",), "sources are UTF-8; remove it"),
    ((".",), "it ends COPY data, and no `COPY … FROM STDIN;` is open here"),
    (("restrict", "unrestrict"), "it must stand alone on a line, between statements"),
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One piece of a source that the server receives as a unit.

    ``text`` is the file's own text from the first token to the semicolon; ``offset``,
    ``line`` and ``column`` say where it starts.  ``words`` are the leading keywords and
    names, upper-cased; quoted names stay as written.  ``data`` is what COPY reads.
    """

    text: str
    offset: int
    line: int
    column: int
    words: tuple[str, ...]
    data: str | None = None

    def position_of(self, character: int) -> tuple[int, int]:
        """Return line and column in the file of the server's 1-based error position."""
        before = self.text[: max(character, 1) - 1]
        breaks = before.count("\n")
        if not breaks:
            return self.line, self.column + len(before)
        return self.line + breaks, len(before) - before.rfind("\n")


def read_statements(text: str, path: str) -> tuple[Statement, ...]:
    """Return the statements of a source in order.

    Raises :class:`SourceError` at a backslash command, or where something was opened
    that never ends.
    """
    statements = tuple(_Reader(text, path).statements())
    for statement in statements:
        if statement.words[:1] == ("SET",):
            _refuse_escape_strings(statement, path)
    return statements


def read_comments(text: str, path: str) -> tuple[int, ...]:
    """Return the offsets of all ``--`` comments, those in quotes and data left out."""
    reader = _Reader(text, path)
    for _ in reader.statements():
        pass
    return tuple(at for at, _ in reader.comments if text[at] == "-")


def without_comments(statement: Statement) -> str:
    """Return a statement's text with each comment replaced by a blank."""
    reader = _Reader(statement.text, "")
    for _ in reader.statements():
        pass
    pieces, done = [], 0
    for at, end in reader.comments:
        pieces.append(statement.text[done:at])
        done = end
    return " ".join((*pieces, statement.text[done:]))


@dataclass(slots=True)
class _Watch:
    """What psql keeps in mind of a CREATE FUNCTION, and of a COPY."""

    tokens: re.Pattern[str]
    begins: list[int] = field(default_factory=list)
    previous: str = ""
    from_stdin: bool = False

    def see(self, word: str, at: int) -> None:
        """Take note of one bare word outside parentheses."""
        upper = word.upper() if word.isascii() else word
        if self.tokens is COPY_TOKEN:
            # The grammar takes STDOUT after FROM for STDIN.
            stdin = self.previous == "FROM" and upper in ("STDIN", "STDOUT")
            self.from_stdin = self.from_stdin or stdin
            self.previous = upper
        elif upper == "BEGIN" or (upper == "CASE" and self.begins):
            self.begins.append(at)
        elif upper == "END" and self.begins:
            self.begins.pop()


class _Reader:
    """One pass over one text."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.comments: list[tuple[int, int]] = []
        self._heads: dict[str, tuple[str, ...]] = {}
        self._line = 1
        self._line_start = 0
        self._counted = 0

    def statements(self) -> Iterator[Statement]:
        """Yield the statements of the text in order."""
        pos = self._gap_end(0)
        while pos < len(self.text):
            words, body = self._head(pos)
            watch = _watch(words)
            end = self._end(pos if watch else body, watch)
            line, column = self._place(pos)
            data, after = None, end
            if watch and watch.from_stdin:
                data, after = self._data(pos, end)
            yield Statement(self.text[pos:end], pos, line, column, words, data)
            pos = self._gap_end(after)

    def _place(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset that lies behind all earlier ones."""
        breaks = self.text.count("\n", self._counted, offset)
        if breaks:
            self._line += breaks
            self._line_start = self.text.rfind("\n", self._counted, offset) + 1
        self._counted = offset
        return self._line, offset - self._line_start + 1

    def _error(self, offset: int, message: str) -> SourceError:
        """Return the error to raise for a place in the text."""
        line, column = place(self.text, offset)
        return SourceError(self.path, message, line=line, column=column)

    def _gap_end(self, pos: int) -> int:
        """Return where the next statement starts, or the end of the text."""
        text = self.text
        while match := NOT_BLANK.search(text, pos):
            kind, pos = match[0], match.start()
            if kind not in "-/\\":
                return pos
            if text[pos : pos + 2] in ("--", "/*"):
                pos = self._comment(pos)
            elif kind != "\\":
                return pos
            elif restrict := RESTRICT.match(text, pos):
                pos = restrict.end()
            else:
                raise self._refused_command(pos)
        return len(text)

    def _comment(self, at: int) -> int:
        """Note a comment of either kind and return its end."""
        end = self._comment_end(at)
        self.comments.append((at, end))
        return end

    def _comment_end(self, at: int) -> int:
        """Return the end of a comment; those between ``/*`` and ``*/`` nest."""
        if self.text[at] == "-":
            return _stop(COMMENT, self.text, at)
        depth = 0
        for bound in COMMENT_BOUND.finditer(self.text, at):
            depth += 1 if self.text[bound.start()] == "/" else -1
            if not depth:
                return bound.end()
        raise self._error(at, "this comment never ends; close it with */")

    def _head(self, start: int) -> tuple[tuple[str, ...], int]:
        """Return a statement's leading words, and where to go on reading."""
        match = PLAIN_HEAD.match(self.text, start)
        if match is None:
            return self._words(start), start
        head = match[0]
        words = self._heads.get(head)
        if words is None:
            words = self._heads[head] = tuple(head.upper().split())
        return words, match.end()

    def _words(self, pos: int) -> tuple[str, ...]:
        """Return the leading words of a statement, comments skipped."""
        words: list[str] = []
        while len(words) < MOST_WORDS:
            pos = self._blank_end(pos)
            match = WORD.match(self.text, pos)
            if match is None:
                break
            word, pos = _upper(match[0]), match.end()
            if self.text[pos : pos + 1] == "'" and word in LITERAL_PREFIXES:
                break
            words.append(word)
        return tuple(words)

    def _blank_end(self, pos: int) -> int:
        """Skip blanks and comments, without taking note of them."""
        while True:
            pos = _stop(BLANKS, self.text, pos)
            if self.text[pos : pos + 2] not in ("--", "/*"):
                return pos
            pos = self._comment_end(pos)

    def _end(self, start: int, watch: _Watch | None) -> int:  # noqa: C901, PLR0912
        """Return the end of the statement whose head ends here."""
        # Long and flat on purpose: this loop meets every token of every source.
        text, tokens = self.text, watch.tokens if watch else TOKEN
        opened: list[int] = []
        resume: int | None = start
        while resume is not None:
            floor, resume = resume, None
            for match in tokens.finditer(text, floor):
                at, end = match.span()
                kind = text[at]
                if (
                    kind == "'"
                    and text[at - 1] not in "eE"
                    and at < end - 1
                    and text[end - 1] == "'"
                ):
                    pass
                elif kind == ";":
                    if not opened and not (watch and watch.begins):
                        return end
                elif kind == "(":
                    if end - at == 1:
                        opened.append(at)
                elif kind == ")":
                    if opened:
                        opened.pop()
                elif kind == "-":
                    self.comments.append((at, end))
                elif kind not in NOT_WORDS:
                    whole = at == floor or not _in_identifier(text[at - 1])
                    if watch and whole and not opened:
                        watch.see(match[0], at)
                    continue  # no floor: this word may be the E of an E'' string
                elif (jump := self._quoted_end(at, end, floor)) != end:
                    resume = jump
                    break
                floor = end
        return self._last_end(opened, watch)

    def _quoted_end(self, at: int, end: int, floor: int) -> int:
        """Return the end of a quoted text or comment; nothing before floor touches it."""
        kind = self.text[at]
        if kind == "'":
            return self._string_end(at, end, floor)
        if kind == "$":
            return self._dollar_end(at, end, floor)
        if kind in "-/":
            return self._comment(at)
        if kind == "\\":
            raise self._refused_command(at)
        if end - at < 2 or self.text[end - 1] != '"':
            raise self._error(at, 'this quoted name never ends; close it with "')
        return end

    def _string_end(self, at: int, end: int, floor: int) -> int:
        """Return the end of a string; ``''`` in a plain one reads as two strings."""
        text = self.text
        escapes = at > floor and text[at - 1] in "eE"
        # In nameE'…' the E belongs to the name.
        if escapes and not (at - 1 > floor and _in_identifier(text[at - 2])):
            return self._escaped_end(at)
        if end - at < 2 or text[end - 1] != "'":
            raise self._error(at, "this string never ends; close it with '")
        return end

    def _escaped_end(self, at: int) -> int:
        """Return the end of an E'' string and of the strings that continue it."""
        pos: int | None = at + 1
        while pos is not None:
            start, pos = pos, None
            for match in ESCAPED.finditer(self.text, start):
                if match[0] == "'":
                    more = CONTINUATION.match(self.text, match.end())
                    if more is None:
                        return match.end()
                    pos = more.end()
                    break
        raise self._error(at - 1, "this E'' string never ends; close it with '")

    def _dollar_end(self, at: int, end: int, floor: int) -> int:
        """Return the end of a dollar quote, of ``$1``, or of a name with a ``$`` in it."""
        text, first = self.text, at
        while first > floor and _in_identifier(text[first - 1]):
            first -= 1
        if text[first:at].lstrip("0123456789"):
            return _stop(IDENTIFIER_REST, text, at)
        tag = text[at:end]
        if tag[-1] != "$":
            return end
        close = text.find(tag, end)
        if close < 0:
            raise self._error(at, f"this {tag} quote never ends; close it with {tag}")
        return close + len(tag)

    def _last_end(self, opened: list[int], watch: _Watch | None) -> int:
        """Return the end of a last statement that has no semicolon."""
        if opened:
            raise self._error(opened[0], "this parenthesis is never closed; add the )")
        if watch and watch.begins:
            raise self._error(watch.begins[0], "this BEGIN has no END; add it")
        end = self._solid_end(len(self.text))
        for at, comment_end in reversed(self.comments):
            # A -- comment's own trailing blanks are already gone.
            if comment_end < end or at >= end:
                break
            end = self._solid_end(at)
        return end

    def _solid_end(self, end: int) -> int:
        """Return where the last character before the end that is not blank ends."""
        while self.text[end - 1] in BLANK_CHARACTERS:
            end -= 1
        return end

    def _data(self, start: int, end: int) -> tuple[str, int]:
        r"""Return COPY's data, and where the text goes on after its ``\.`` line."""
        text = self.text
        rest = AFTER_COPY.match(text, end)
        if rest is None:
            message = "COPY data starts on the next line: put what follows behind the data"
            raise self._error(end, message)
        line_end = rest.end()
        stop = text.find("\n\\.", line_end)
        while stop >= 0:
            after = stop + 3
            if text.startswith("\r", after):
                after += 1
            if after == len(text) or text[after] == "\n":
                return text[line_end + 1 : stop + 1], after
            stop = text.find("\n\\.", stop + 1)
        message = r"this COPY has no end of data; add a line `\.` after the last row"
        raise self._error(start, message)

    def _refused_command(self, at: int) -> SourceError:
        """Return the error for a backslash command, with a hint where there is one."""
        match = COMMAND.match(self.text, at)
        command = match[0] if match else "\\"
        hint = next((hint for names, hint in HINTS if command[1:] in names), "remove it")
        message = f"{command} is a command of psql, which a source cannot use; {hint}"
        return self._error(at, message)


def _refuse_escape_strings(statement: Statement, path: str) -> None:
    """Refuse to let plain strings take backslashes: the text would mean another."""
    if "STANDARD_CONFORMING_STRINGS" not in statement.words[1:3]:
        return
    value = STRINGS_SETTING.search(without_comments(statement))
    if value is None or value[1].lower() not in STRINGS_ON:
        message = (
            "sources are read with standard_conforming_strings on; "
            "remove this, and write strings with backslashes as E'…'"
        )
        raise SourceError(path, message, line=statement.line, column=statement.column)


def _stop(pattern: re.Pattern[str], text: str, pos: int) -> int:
    """Return where a pattern that fits everywhere stops."""
    match = pattern.match(text, pos)
    return match.end() if match else pos


def _upper(name: str) -> str:
    """Return a name for comparison: bare ASCII words in capitals, blanks dropped."""
    if '"' in name:
        return name
    joined = WORD_BREAK.sub(".", name)
    # str.upper would turn a dotless i into I, and a foreign name into a keyword.
    return joined.upper() if joined.isascii() else joined


def _in_identifier(character: str) -> bool:
    """Tell whether a character can continue an identifier."""
    return character in IDENTIFIER_ASCII or character > "\x7f"


def _watch(words: tuple[str, ...]) -> _Watch | None:
    """Return what to keep in mind while reading a statement that starts like this."""
    first = words[:1]
    if first == ("COPY",):
        return _Watch(COPY_TOKEN)
    if first != ("CREATE",):
        return None
    # psql does not count quoted names.
    bare = tuple(word for word in words if '"' not in word)
    if bare[:2] in ROUTINES or bare[:4] in ROUTINES:
        return _Watch(ROUTINE_TOKEN)
    return None
