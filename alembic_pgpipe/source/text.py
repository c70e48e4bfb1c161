"""Bytes to text: what PostgreSQL could not read is refused here, by byte and line."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from alembic_pgpipe.errors import SourceError

BOM = b"\xef\xbb\xbf"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
PIECE_BYTES = 1 << 20


def place(text: str, offset: int) -> tuple[int, int]:
    """Return the line and the column of a character, both counted from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def decode(raw: bytes, path: str) -> str:
    """Return the text of a source without its BOM.

    Raises :class:`SourceError` where a byte is not UTF-8, or is NUL.
    """
    return "".join(read_pieces(io.BytesIO(raw), path))


def read_pieces(file: BinaryIO, path: str, size: int = PIECE_BYTES) -> Iterator[str]:
    """Yield the text of a source without its BOM, in pieces of ``size`` bytes.

    Raises :class:`SourceError` where a byte is not UTF-8, or is NUL.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    done, line, column = 0, 1, 1  # column: of the piece's first character
    raw = file.read(size)
    if raw.startswith(BOM):
        done, raw = len(BOM), raw.removeprefix(BOM)
    while True:
        kept = decoder.getstate()[0]
        following = file.read(size) if raw else b""
        try:
            text = decoder.decode(raw, final=not following)
        except UnicodeDecodeError as exc:
            body = kept + raw
            before = body[: exc.start].decode("utf-8")
            at = _advance(line, column, before)
            raise _not_utf8(body, exc.start, done - len(kept), at, path) from exc
        if (nul := text.find("\0")) >= 0:
            raise _nul(_advance(line, column, text[:nul]), path)
        if text:
            yield text
        if not following:
            return
        line, column = _advance(line, column, text)
        done, raw = done + len(raw), following


def _advance(line: int, column: int, text: str) -> tuple[int, int]:
    """Return the place behind a text that starts at a place."""
    breaks = text.count("\n")
    if not breaks:
        return line, column + len(text)
    return line + breaks, len(text) - text.rfind("\n")


def _nul(at: tuple[int, int], path: str) -> SourceError:
    # libpq would cut the statement off here without a word.
    message = f"line {at[0]} holds a NUL byte, which PostgreSQL cannot store; remove it"
    return SourceError(path, message, line=at[0], column=at[1])


def _not_utf8(
    body: bytes, start: int, before: int, at: tuple[int, int], path: str
) -> SourceError:
    """Name the first byte that is not UTF-8; ``before`` bytes stand ahead of the body."""
    looks = " (the file looks like UTF-16)" if not before and body[:2] in UTF16 else ""
    message = (
        f"byte 0x{body[start]:02X} at offset {start + before}, line {at[0]}, "
        f"is not UTF-8{looks}; save the file as UTF-8"
    )
    return SourceError(path, message, line=at[0], column=at[1])


def read_lines(path: Path, first: int, count: int) -> list[str]:
    """Return some lines of a file for people to look at; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            lines = list(islice(file, first - 1, first - 1 + count))
    except OSError:
        return []
    if first == 1 and lines:
        lines[0] = lines[0].removeprefix(BOM)
    return [line.decode("utf-8", "replace").rstrip("\r\n") for line in lines]
