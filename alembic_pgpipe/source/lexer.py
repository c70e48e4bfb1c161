"""psql's lexer: where a statement, a quote and a comment end.

The rules are those of psql's ``psqlscan.l``.  Where psql lets a file end inside a quote,
a comment or a parenthesis, the lexer refuses it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import NamedTuple

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source import backslash
from alembic_pgpipe.source.window import Truncated, Window

MOST_WORDS = 12
BLANK_CHARACTERS = " \t\n\r\f\v"

# psql counts every byte above 127 as a letter.  These are named by what they leave out:
# the engine takes long to prepare a set with all of Unicode in it.
_START = r"[^\x00-@\[-^`{-\x7f]"
_REST = r"[^\x00-#%-/:-@\[-^`{-\x7f]"
_TAG_REST = r"[^\x00-/:-@\[-^`{-\x7f]"
_IDENTIFIER = rf"{_START}{_REST}*"
_NAME = rf'(?:(?:[uU]&)?"[^"]*(?:""[^"]*)*"|{_IDENTIFIER})'
_BLANK = r"[ \t\n\r\f\v]"

BLANKS = re.compile(rf"{_BLANK}*")
NOT_BLANK = re.compile(r"[^ \t\n\r\f\v;]")
COMMENT = re.compile(r"--[^\n\r]*")
COMMENT_BOUND = re.compile(r"/\*|\*/")
IDENTIFIER_REST = re.compile(rf"{_REST}*")
WORD = re.compile(rf"{_NAME}(?:{_BLANK}*\.{_BLANK}*{_NAME})*")
WORD_BREAK = re.compile(rf"{_BLANK}*\.{_BLANK}*")
# What one repetition takes, no other part of a pattern could: giving some of it back never
# helps.  Engines that can be told so are a third faster.
_ALL = "+" if sys.version_info >= (3, 11) else ""
# The usual head of a statement in one go; whatever is less plain takes the long way.
_HEAD_WORD = rf"[A-Za-z_][A-Za-z0-9_.]*{_ALL}"
_HEAD = (
    rf"{_HEAD_WORD}(?:{_BLANK}+{_ALL}{_HEAD_WORD}){{0,{MOST_WORDS - 1}}}"
    rf"(?={_BLANK}*[(;=*,]|{_BLANK}+['$])"
)
PLAIN_HEAD = re.compile(_HEAD)
# A pair of parentheses with plain text, strings and one more pair inside is one token;
# the bound keeps the engine's memory small.  In E'…' the quote is not plain.
_PLAIN = r"[^()'\"$\\/-]*"
_STRING = r"(?<![eE])'[^']*'"
_GROUP = rf"\({_PLAIN}(?:(?:{_STRING}|\({_PLAIN}\)|-(?!-)){_PLAIN}){{0,200}}\)"
# Nearly every statement of a large file is one match of this.
_ITEM = rf"{_STRING}|\"[^\"]*\"|-(?!-)|/(?!\*)"
_SIMPLE = rf"[^;()'\"$\\/-]*{_ALL}"
_INNER = rf"\({_SIMPLE}(?:(?:{_ITEM}){_SIMPLE}){{0,50}}{_ALL}\)"
_OUTER = rf"\({_SIMPLE}(?:(?:{_ITEM}|{_INNER}){_SIMPLE}){{0,200}}{_ALL}\)"
# These change how the text behind them is read, or end where only the lexer can see it.
_SPECIAL = (
    rf"(?i:COPY|SET|RESET|DISCARD|DO|CREATE{_BLANK}+(?:OR{_BLANK}+REPLACE{_BLANK}+)?"
    r"(?:FUNCTION|PROCEDURE))\b"
)
PLAIN_STATEMENT = re.compile(
    rf"{_BLANK}*((?!{_SPECIAL})({_HEAD}){_SIMPLE}(?:(?:{_ITEM}|{_OUTER}){_SIMPLE}){{0,200}}{_ALL};)"
)
# A routine whose body is one dollar quote: what stands ahead of it, and what behind.
_BEFORE_BODY = rf"{_SIMPLE}(?:(?:{_ITEM}|{_OUTER}){_SIMPLE}){{0,200}}{_ALL}"
ROUTINE_HEAD = re.compile(
    rf"{_BLANK}*((?i:CREATE{_BLANK}+(?:OR{_BLANK}+REPLACE{_BLANK}+)?(?:FUNCTION|PROCEDURE)\b)"
    rf"{_BEFORE_BODY}(?<={_BLANK})(\$(?:{_START}{_TAG_REST}*)?\$))"
)
ROUTINE_TAIL = re.compile(rf"{_BEFORE_BODY};")


def _tokens(quoted: str) -> str:
    """Return what the lexer stops at; ``quoted`` is what begins with a quote or a pair.

    Every alternative starts with a literal: only then does the regex engine skip ahead
    to the next candidate instead of trying each alternative at each character.
    """
    return (
        rf";|{quoted}|\(|\)|\"[^\"]*\"?|--[^\n\r]*|/\*|\\"
        rf"|\$(?:[0-9]+|(?:{_START}{_TAG_REST}*)?\$)"
    )


# Spelt out letter by letter for the same reason.
_BLOCK_WORDS = tuple(
    rf"{word}(?!{_REST})"
    for word in (
        *("b[eE][gG][iI][nN]", "B[eE][gG][iI][nN]", "c[aA][sS][eE]", "C[aA][sS][eE]"),
        *("e[nN][dD]", "E[nN][dD]"),
    )
)


class _Patterns(NamedTuple):
    """What the lexer stops at: in any statement, in COPY, in a routine."""

    plain: re.Pattern[str]
    copy: re.Pattern[str]
    routine: re.Pattern[str]


def _patterns(quoted: str) -> _Patterns:
    tokens = _tokens(quoted)
    return _Patterns(
        re.compile(tokens),
        re.compile(rf"{tokens}|{_IDENTIFIER}"),
        re.compile("|".join((tokens, *_BLOCK_WORDS))),
    )


STANDARD = _patterns(rf"{_GROUP}|'[^']*'?")
# With standard_conforming_strings off, a backslash escapes in plain strings, too.
ESCAPING = _patterns("'")
NOT_WORDS = frozenset(";()'\"-/\\$")
IDENTIFIER_ASCII = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$")
ESCAPED = re.compile(r"\\.|''|'", re.DOTALL)
# A string goes on after a line break, and an E'' string keeps its backslashes there.
CONTINUATION = re.compile(rf"[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:{_BLANK}|--[^\n\r]*[\n\r])*'")
LITERAL_PREFIXES = frozenset({"E", "B", "X", "N"})
PLAIN_PREFIXES = "bBxX&"
ROUTINES = frozenset(
    {
        ("CREATE", "FUNCTION"),
        ("CREATE", "PROCEDURE"),
        ("CREATE", "OR", "REPLACE", "FUNCTION"),
        ("CREATE", "OR", "REPLACE", "PROCEDURE"),
    }
)


def plain_routine(text: str, pos: int) -> tuple[int, int] | None:
    """Return start and end of the next statement, where it is a routine of the usual kind."""
    head = ROUTINE_HEAD.match(text, pos)
    if head is None:
        return None
    close = text.find(head[2], head.end())
    tail = ROUTINE_TAIL.match(text, close + len(head[2])) if close >= 0 else None
    if tail is None or "begin" in head[1].lower() or "begin" in tail[0].lower():
        return None
    return head.start(1), tail.end()


@dataclass(slots=True)
class Watch:
    """What psql keeps in mind of a CREATE FUNCTION, and of a COPY."""

    is_copy: bool
    begins: list[int] = field(default_factory=list)
    previous: str = ""
    from_stdin: bool = False
    to_stdout: bool = False

    def see(self, word: str, at: int) -> None:
        """Take note of one bare word outside parentheses."""
        upper = word.upper() if word.isascii() else word
        if self.is_copy:
            # The grammar takes STDOUT after FROM for STDIN, and STDIN after TO for STDOUT.
            if upper in ("STDIN", "STDOUT"):
                self.from_stdin = self.from_stdin or self.previous == "FROM"
                self.to_stdout = self.to_stdout or self.previous == "TO"
            self.previous = upper
        elif upper == "BEGIN" or (upper == "CASE" and self.begins):
            self.begins.append(at)
        elif upper == "END" and self.begins:
            self.begins.pop()


def watch(words: tuple[str, ...]) -> Watch | None:
    """Return what to keep in mind while reading a statement that starts like this."""
    first = words[:1]
    if first == ("COPY",):
        return Watch(is_copy=True)
    if first != ("CREATE",):
        return None
    # psql does not count quoted names.
    bare = tuple(word for word in words if '"' not in word)
    if bare[:2] in ROUTINES or bare[:4] in ROUTINES:
        return Watch(is_copy=False)
    return None


class Lexer:
    """Finds ends: of statements, quotes and comments, in the window as it is now.

    ``standard_strings`` is the server's setting standard_conforming_strings.  Each
    method raises Truncated where the end may lie behind the window.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.standard_strings = True
        self.comments: list[tuple[int, int]] = []

    def token_start(self, pos: int) -> int:
        """Return where the next statement or backslash command starts, or the end."""
        text = self.window.text
        while match := NOT_BLANK.search(text, pos):
            pos = match.start()
            if text[pos : pos + 2] not in ("--", "/*"):
                return self._sure(pos, pos + 2)
            pos = self._comment(pos)
        return self._sure(len(text), len(text) + 1)

    def _sure(self, pos: int, seen: int) -> int:
        """Return a place, where what was seen of the text behind it is final."""
        if seen > len(self.window.text) and not self.window.complete:
            raise Truncated
        return pos

    def _comment(self, at: int) -> int:
        """Note a comment of either kind and return its end."""
        end = self._comment_end(at)
        self.comments.append((at, end))
        return end

    def _comment_end(self, at: int) -> int:
        """Return the end of a comment; those between ``/*`` and ``*/`` nest."""
        text = self.window.text
        if text[at] == "-":
            end = _stop(COMMENT, text, at)
            return self._sure(end, end + 1)
        depth = 0
        for bound in COMMENT_BOUND.finditer(text, at):
            depth += 1 if text[bound.start()] == "/" else -1
            if not depth:
                return bound.end()
        raise self.window.unfinished(at, "this comment never ends; close it with */")

    def words(self, pos: int) -> tuple[str, ...]:
        """Return the leading words of a statement, comments skipped."""
        text = self.window.text
        words: list[str] = []
        while len(words) < MOST_WORDS:
            pos = self._blank_end(pos)
            match = WORD.match(text, pos)
            if match is None:
                break
            word, pos = _upper(match[0]), match.end()
            if text[pos : pos + 1] == "'" and word in LITERAL_PREFIXES:
                break
            words.append(word)
        return tuple(words)

    def _blank_end(self, pos: int) -> int:
        """Skip blanks and comments, without taking note of them."""
        text = self.window.text
        while True:
            pos = _stop(BLANKS, text, pos)
            if text[pos : pos + 2] not in ("--", "/*"):
                return pos
            pos = self._comment_end(pos)

    def end(self, start: int, watch: Watch | None) -> int:  # noqa: C901, PLR0912
        """Return the end of the statement that starts, or goes on, at ``start``."""
        # Long and flat on purpose: this loop meets every token of every source.
        text, tokens = self.window.text, self._tokens(watch)
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

    def _tokens(self, watch: Watch | None) -> re.Pattern[str]:
        patterns = STANDARD if self.standard_strings else ESCAPING
        if watch is None:
            return patterns.plain
        return patterns.copy if watch.is_copy else patterns.routine

    def _quoted_end(self, at: int, end: int, floor: int) -> int:
        """Return the end of a quoted text or comment; nothing before floor touches it."""
        text = self.window.text
        kind = text[at]
        if kind == "'":
            return self._string_end(at, end, floor)
        if kind == "$":
            return self._dollar_end(at, end, floor)
        if kind in "-/":
            return self._comment(at)
        if kind == "\\":
            raise self.refused_command(at)
        if end - at < 2 or text[end - 1] != '"':
            raise self.window.unfinished(at, 'this quoted name never ends; close it with "')
        return end

    def _string_end(self, at: int, end: int, floor: int) -> int:
        """Return the end of a string; ``''`` in a plain one reads as two strings."""
        text = self.window.text
        before = text[at - 1] if at > floor else ""
        # In nameE'…' the E belongs to the name.
        prefixed = not (at - 1 > floor and self._in_name(at - 2, floor))
        if before and before in "eE" and prefixed:
            return self._escaped_end(at, at - 1)
        if self.standard_strings:
            if end - at < 2 or text[end - 1] != "'":
                raise self.window.unfinished(at, "this string never ends; close it with '")
            return end
        if before and before in PLAIN_PREFIXES and (prefixed or before == "&"):
            close = text.find("'", at + 1)
            if close < 0:
                raise self.window.unfinished(at, "this string never ends; close it with '")
            return close + 1
        return self._escaped_end(at, at)

    def _in_name(self, at: int, floor: int) -> bool:
        """Tell whether a name, or a number, reaches to here; a ``$`` begins neither."""
        text = self.window.text
        while at > floor and text[at] == "$":
            at -= 1
        return text[at] != "$" and _in_identifier(text[at])

    def _escaped_end(self, at: int, start: int) -> int:
        """Return the end of a string with escapes and of the strings that continue it.

        ``start`` is where its prefix stands.
        """
        text = self.window.text
        pos: int | None = at + 1
        while pos is not None:
            resume, pos = pos, None
            for match in ESCAPED.finditer(text, resume):
                if match[0] == "'":
                    more = CONTINUATION.match(text, match.end())
                    if more is None:
                        return match.end()
                    pos = more.end()
                    break
        raise self.window.unfinished(start, "this string never ends; close it with '")

    def _dollar_end(self, at: int, end: int, floor: int) -> int:
        """Return the end of a dollar quote, of ``$1``, or of a name with a ``$`` in it."""
        text, first = self.window.text, at
        while first > floor and _in_identifier(text[first - 1]):
            first -= 1
        if text[first:at].lstrip("0123456789"):
            return _stop(IDENTIFIER_REST, text, at)
        tag = text[at:end]
        if tag[-1] != "$":
            return end
        close = text.find(tag, end)
        if close < 0:
            message = f"this {tag} quote never ends; close it with {tag}"
            raise self.window.unfinished(at, message)
        return close + len(tag)

    def _last_end(self, opened: list[int], watch: Watch | None) -> int:
        """Return the end of a last statement that has no semicolon."""
        window = self.window
        if opened:
            raise window.unfinished(opened[0], "this parenthesis is never closed; add the )")
        if watch and watch.begins:
            raise window.unfinished(watch.begins[0], "this BEGIN has no END; add it")
        end = self._solid_end(self._sure(len(window.text), len(window.text) + 1))
        for at, comment_end in reversed(self.comments):
            # A -- comment's own trailing blanks are already gone.
            if comment_end < end or at >= end:
                break
            end = self._solid_end(at)
        return end

    def _solid_end(self, end: int) -> int:
        """Return where the last character before the end that is not blank ends."""
        while self.window.text[end - 1] in BLANK_CHARACTERS:
            end -= 1
        return end

    def refused_command(self, at: int) -> SourceError:
        """Return the error for a backslash command."""
        self._sure(at, at + backslash.LONGEST)
        return self.window.error(at, backslash.refusal(self.window.text, at))


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
