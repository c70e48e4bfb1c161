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
# Larger ones do not fit into a processor's cache, and take longer in all.
PIECE_BYTES = 1 << 17


def place(text: str, offset: int) -> tuple[int, int]:
    """Return the line and the column of a character, both counted from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def decode(raw: bytes, path: str) -> str:
    """Return the text of a source without its BOM.

    Raises :class:`SourceError` where a byte is not UTF-8, or is NUL.
    """
    return "".join(read_pieces(io.BytesIO(raw), path))


def read_pieces(file: BinaryIO, path: str) -> Iterator[str]:
    """Yield the text of a source without its BOM, in pieces.

    Raises :class:`SourceError` where a byte is not UTF-8, or is NUL.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    before = 0  # bytes ahead of those that are decoded now
    raw = file.read(PIECE_BYTES)
    if raw.startswith(BOM):
        before, raw = len(BOM), raw.removeprefix(BOM)
    while True:
        kept = decoder.getstate()[0]
        following = file.read(PIECE_BYTES) if raw else b""
        try:
            text = decoder.decode(raw, final=not following)
        except UnicodeDecodeError as exc:
            byte, at = (kept + raw)[exc.start], before - len(kept) + exc.start
            raise _not_utf8(file, byte, at, path) from exc
        if "\0" in text:
            raise _nul(file, before + raw.index(b"\0"), path)
        if text:
            yield text
        if not following:
            return
        before, raw = before + len(raw), following


def _place_of_byte(file: BinaryIO, offset: int) -> tuple[int, int]:
    """Return line and column of a byte that only good text stands ahead of."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    line, column = 1, 1
    while raw := file.read(min(offset, PIECE_BYTES)):
        offset -= len(raw)
        text = decoder.decode(raw)
        breaks = text.count("\n")
        line += breaks
        column = len(text) - text.rfind("\n") if breaks else column + len(text)
    return line, column


def _nul(file: BinaryIO, offset: int, path: str) -> SourceError:
    # libpq would cut the statement off here without a word.
    line, column = _place_of_byte(file, offset)
    message = f"line {line} holds a NUL byte, which PostgreSQL cannot store; remove it"
    return SourceError(path, message, line=line, column=column)


def _not_utf8(file: BinaryIO, byte: int, offset: int, path: str) -> SourceError:
    line, column = _place_of_byte(file, offset)
    file.seek(0)
    looks = " (the file looks like UTF-16)" if file.read(2) in UTF16 else ""
    message = (
        f"byte 0x{byte:02X} at offset {offset}, line {line}, "
        f"is not UTF-8{looks}; save the file as UTF-8"
    )
    return SourceError(path, message, line=line, column=column)


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
