"""Bytes to text: what PostgreSQL could not read is refused here, by byte and line."""

from __future__ import annotations

from alembic_pgpipe.errors import SourceError

BOM = b"\xef\xbb\xbf"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def place(text: str, offset: int) -> tuple[int, int]:
    """Return the line and the column of a character, both counted from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def decode(raw: bytes, path: str) -> str:
    """Return the text of a source without its BOM.

    Raises :class:`SourceError` where a byte is not UTF-8, or is NUL.
    """
    body = raw.removeprefix(BOM)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise _not_utf8(body, exc.start, len(raw) - len(body), path) from exc
    if (nul := text.find("\0")) >= 0:
        line, column = place(text, nul)
        # libpq would cut the statement off here without a word.
        message = f"line {line} holds a NUL byte, which PostgreSQL cannot store; remove it"
        raise SourceError(path, message, line=line, column=column)
    return text


def _not_utf8(body: bytes, start: int, skipped: int, path: str) -> SourceError:
    """Name the first byte that is not UTF-8."""
    line, column = place(body[:start].decode("utf-8") + "?", len(body[:start].decode("utf-8")))
    looks = " (the file looks like UTF-16)" if body.startswith(UTF16) else ""
    message = (
        f"byte 0x{body[start]:02X} at offset {start + skipped}, line {line}, "
        f"is not UTF-8{looks}; save the file as UTF-8"
    )
    return SourceError(path, message, line=line, column=column)
