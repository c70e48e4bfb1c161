"""A window that moves over a text, so that a source may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator

from alembic_pgpipe.errors import SourceError

LEAST_CHARACTERS = 1 << 20
# About what a socket holds: the server has work left while the next characters are read.
NEXT_CHARACTERS = 1 << 16
MOST_CHARACTERS = 1 << 28


class Truncated(Exception):  # noqa: N818  it is no error: more text is to be had
    """Say that what was begun may end behind the window."""


class Window:
    """The part of a text that is looked at now.

    ``start`` is how many characters of the text lie ahead of it; ``complete`` says that
    nothing follows it.  ``line`` and ``line_start`` are those of the character at
    ``counted``, up to which the lines have been counted.  A text shorter than ``least``
    is complete from the beginning.
    """

    def __init__(self, pieces: Iterator[str], path: str, least: int = LEAST_CHARACTERS) -> None:
        self.path = path
        self.text = ""
        self.start = 0
        self.complete = False
        self._pieces = pieces
        self._least = least
        self._first = (1, 1)
        self.line = 1
        self.line_start = 0
        self.counted = 0
        self.move(0)
        self._least = min(least, NEXT_CHARACTERS)

    def move(self, pos: int) -> None:
        """Let the window start at ``pos``, and let it be at least twice as long as the rest.

        Raises :class:`SourceError` where that would take more memory than is sensible.
        """
        kept = self.text[pos:]
        if len(kept) > MOST_CHARACTERS:
            message = (
                f"what starts here does not end within {MOST_CHARACTERS >> 20} MiB; "
                "is a quote, a comment or a parenthesis left open?"
            )
            raise self.error(pos, message)
        self._first = (self.line, _) = self.look_at(pos)
        self.line_start = 1 - self._first[1]
        self.counted = 0
        self.start += pos
        self.text = "".join((kept, *self._take(max(len(kept), self._least))))

    def place(self, at: int) -> tuple[int, int]:
        """Return line and column of a character, not ahead of the one asked for before."""
        breaks = self.text.count("\n", self.counted, at)
        if breaks:
            self.line += breaks
            self.line_start = self.text.rfind("\n", self.counted, at) + 1
        self.counted = at
        return self.line, at - self.line_start + 1

    def look_at(self, at: int) -> tuple[int, int]:
        """Return line and column of any character, by counting from the window's start."""
        last_break = self.text.rfind("\n", 0, at)
        if last_break < 0:
            return self._first[0], self._first[1] + at
        if at < self.counted:
            return self.line - self.text.count("\n", at, self.counted), at - last_break
        return self.line + self.text.count("\n", self.counted, at), at - last_break

    def error(self, at: int, message: str) -> SourceError:
        """Return the error to raise for a character of the window."""
        line, column = self.look_at(at)
        return SourceError(self.path, message, line=line, column=column)

    def unfinished(self, at: int, message: str) -> SourceError:
        """Return the error for what never ends; raise Truncated where it still may."""
        if not self.complete:
            raise Truncated
        return self.error(at, message)

    def _take(self, characters: int) -> list[str]:
        taken: list[str] = []
        while characters > 0 and not self.complete:
            piece = next(self._pieces, None)
            if piece is None:
                self.complete = True
            else:
                taken.append(piece)
                characters -= len(piece)
        return taken
