"""What tells whether a source, or a statement, is still the one that was run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from alembic_pgpipe.source.directives import is_database_line, without_header_directives

# Longer lines cannot be a directive, so they need not be kept back.
LONGEST_DIRECTIVE = 1024


class Checksum:
    """The SHA-256 of a text that comes in pieces.

    Line ends, directives and empty lines at the end do not count.  The directives of
    the header must all stand in the first piece.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._kept = ""
        self._began = False

    def feed(self, piece: str) -> None:
        """Take the next piece, without a BOM."""
        text = self._kept + (piece if self._began else without_header_directives(piece))
        self._began = True
        sure = _sure(text)
        self._count(text[:sure])
        self._kept = text[sure:]

    def finish(self) -> str:
        """Return the checksum, as 64 hexadecimal digits."""
        before, _, last = f"\n{self._kept.rstrip()}".rpartition("\n")
        # The bash tool's last line leaves its line break behind when it is taken away.
        database = is_database_line(last)
        self._count((before[1:] if database else self._kept).rstrip("\r\n"))
        return self._digest.hexdigest()

    def _count(self, text: str) -> None:
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        self._digest.update(_encoded(text))


def checksum(text: str) -> str:
    """Return the checksum of a text that is at hand as a whole."""
    whole = Checksum()
    whole.feed(text.removeprefix("\ufeff"))
    return whole.finish()


def combined(checksums: Sequence[str]) -> str:
    """Return the checksum of a source with the files that it includes, in order."""
    if len(checksums) == 1:
        return checksums[0]
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest()


def statement_hash(text: str) -> str:
    """Return the SHA-256 of one statement, as 64 hexadecimal digits."""
    return hashlib.sha256(_encoded(text.replace("\r\n", "\n"))).hexdigest()


def _sure(text: str) -> int:
    """Return how much of a text counts, whatever follows it.

    Kept back are blanks at the end, and a last line that may turn out to be a directive
    with the line breaks ahead of it.
    """
    end = len(text)
    while end and text[end - 1].isspace():
        end -= 1
    start = text.rfind("\n", 0, end) + 1
    if end - start > LONGEST_DIRECTIVE:
        return end
    while start and text[start - 1] in "\r\n":
        start -= 1
    return start


def _encoded(text: str) -> bytes:
    # A lone surrogate cannot come from a file, but must not crash a caller either.
    return text.encode("utf-8", "surrogatepass")
