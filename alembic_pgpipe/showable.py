"""What others wrote, made fit to be shown: harmless to a terminal, and of bounded size.

Names of files, errors and notices of the server, and texts of sources may hold anything,
and be of any length.  Every limit on a text that people read is kept by ``bounded``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote, quote_plus

HIDDEN = "***"
# A shorter part of a secret tells nothing, and would be found by chance.
TELLING = 3
# What moves a terminal's cursor, colours it or turns its text round is shown as a picture of
# itself, each as wide as one character so that a caret below it stays where it is.  Halves of
# surrogate pairs stand for bytes that are no text, and cannot be written anywhere.
PICTURES: Mapping[int, str] = MappingProxyType(
    {
        **{code: chr(0x2400 + code) for code in range(1, 0x20) if code not in (0x09, 0x0A)},
        0x7F: "\u2421",
        **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
        **dict.fromkeys((*range(0x2028, 0x202F), *range(0x2066, 0x206A)), "\ufffd"),
        **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
    }
)
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
NOTE = re.compile(r"^… ([0-9,]{1,30}) characters are left out here …$\n?", re.MULTILINE)
NOTE_ROOM = 80
# Behind these no full stop is wanted.
ENDS = (".", "?", "!", ":", ";", ",")
# How far a cut may move to fall between two lines.
LONG_LINE = 400
CARET = re.compile(rf"[ \t|]{{0,{LONG_LINE}}}\^[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a text is kept, in characters: of its head and of its tail.

    ``lines`` is how many lines it may have besides, half of them in either.
    """

    head: int
    tail: int
    lines: int | None = None

    @property
    def most(self) -> int:
        """Return how many characters a text may have that is kept whole."""
        return self.head + self.tail + NOTE_ROOM

    def hold(self, text: str) -> bool:
        """Return whether a text is kept whole; the line of a note does not count."""
        few = self.lines is None or text.count("\n") <= self.lines
        return few and len(text) <= self.most


# One thing that the server says of an error: its message, its detail, its hint, …
WORDS = Bounds(15_000, 10_000)
# One entry of a log; also the error that a row of ``migrations`` or an attempt holds.
ENTRY = Bounds(60_000, 40_000)
# Where an error came from: a routine that calls itself without an end has thousands of lines.
CONTEXT = Bounds(15_000, 10_000, lines=30)
# All that the server says while one step runs.
STEP = Bounds(200_000, 100_000)
# The log of a build in its row, and in its file.
ROW = Bounds(100_000, 400_000)
FILE = Bounds(1_000_000, 3_000_000)


def bounded(text: str, bounds: Bounds) -> str:
    """Return a text of bounded size: of a long one the middle gives way to a note.

    Lines stay whole unless they are long themselves, and no caret is parted from the line
    that it points into.  What notes in the middle say is counted on.
    """
    if bounds.hold(text):
        return text
    end, start = _cut(text, bounds)
    notes = NOTE.finditer(text, end, start)
    earlier = sum(int(note[1].replace(",", "")) - len(note[0]) for note in notes)
    break_ = "" if end == 0 or text[end - 1] == "\n" else "\n"
    return f"{text[:end]}{break_}{left_out(start - end + earlier)}\n{text[start:]}"


def left_out(characters: int) -> str:
    """Return the note that stands for what is left out."""
    return f"… {characters:,} characters are left out here …"


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return a text without any of the secrets, nor the rest of one beside a note."""
    known = sorted(secrets, key=len, reverse=True)
    for secret in known:
        text = text.replace(secret, HIDDEN)
    notes = list(NOTE.finditer(text)) if known else []
    for note in reversed(notes):
        head, tail = text[: note.start()], text[note.end() :]
        for secret in known:
            head, tail = _without_end(head, secret), _without_start(tail, secret)
        text = f"{head}{note[0]}{tail}"
    return text


def spellings(secret: str) -> frozenset[str]:
    """Return a secret as it is, and as SQL, a URL, Python and JSON would write it."""
    written = {secret, secret.replace("'", "''"), repr(secret)[1:-1]}
    written |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    # SQLAlchemy leaves blanks and plus signs in a URL, and reads them so.
    written |= {quote(secret), quote(secret, safe=""), quote(secret, safe=" +")}
    return frozenset(written | {quote_plus(secret)})


def harmless(text: str) -> str:
    """Return a text with pictures in place of control characters, and without NUL."""
    if HARMFUL.search(text) is None:
        return text
    return text.replace("\x00", "").replace("\r\n", "\n").translate(PICTURES)


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return seconds as people say them, without fractions."""
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def in_one_line(text: str) -> str:
    """Return a text, such as a name, that cannot pass for a line of its own either."""
    return harmless(text).replace("\n", "\u240a").replace("\t", "\u2409")


def as_sentences(text: str) -> str:
    """Return lines as one: each is a sentence of its own, unless it goes on with another.

    libpq's lines go on where the next is set in and does not begin with a capital.
    """
    said = ""
    for line in filter(str.strip, text.splitlines()):
        words = " ".join(line.split())
        goes_on = line[0].isspace() and not words[0].isupper()
        joint = " " if goes_on or said.endswith(ENDS) else ". "
        said = f"{said}{joint}{words}" if said else words
    return said


def _cut(text: str, bounds: Bounds) -> tuple[int, int]:
    """Return where the head ends and the tail starts, between lines where that is near."""
    head, tail = min(bounds.head, len(text)), max(1, len(text) - bounds.tail)
    end = text.rfind("\n", max(0, head - LONG_LINE), head) + 1 or head
    start = text.find("\n", tail - 1, tail + LONG_LINE) + 1 or tail
    if bounds.lines is not None:
        end, start = _fewer_lines(text, bounds.lines // 2, end, start)
    return _before_caret(text, end), _behind_caret(text, start)


def _fewer_lines(text: str, half: int, end: int, start: int) -> tuple[int, int]:
    """Move a cut so that its head and its tail have that many lines at the most."""
    few, last = 0, len(text.removesuffix("\n"))
    for _ in range(half):
        few = text.find("\n", few) + 1 or len(text)
        last = max(text.rfind("\n", 0, last), 0)
    return min(end, few), max(start, last + 1)


def _before_caret(text: str, end: int) -> int:
    """Leave the line above a caret out, when the head would end with it."""
    if end == 0 or text[end - 1] != "\n" or not CARET.match(text, end):
        return end
    return text.rfind("\n", max(0, end - 1 - LONG_LINE), end - 1) + 1 or end


def _behind_caret(text: str, start: int) -> int:
    """Leave carets out that the tail would start with."""
    while text[start - 1] == "\n" and (caret := CARET.match(text, start)):
        start = min(caret.end() + 1, len(text))
    return start


def _without_end(text: str, secret: str) -> str:
    """Return a text that does not end in the beginning of a secret."""
    shown = text.removesuffix("\n")
    for length in range(len(secret) - 1, TELLING - 1, -1):
        if shown.endswith(secret[:length]):
            return f"{shown[:-length]}{HIDDEN}{text[len(shown) :]}"
    return text


def _without_start(text: str, secret: str) -> str:
    """Return a text that does not begin with the end of a secret."""
    for length in range(len(secret) - 1, TELLING - 1, -1):
        if text.startswith(secret[-length:]):
            return HIDDEN + text[length:]
    return text
