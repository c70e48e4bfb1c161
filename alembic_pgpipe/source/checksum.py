"""What tells whether a source, or a statement, is still the one that was run."""

from __future__ import annotations

import hashlib

from alembic_pgpipe.source.directives import without_directives


def normalise(text: str) -> str:
    """Return the text that counts: no BOM, LF, no directives, no empty lines at the end."""
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n")
    # The bash tool's last line leaves its line break behind when it is taken away.
    return without_directives(plain).rstrip("\n")


def checksum(text: str) -> str:
    """Return the SHA-256 of a source, as 64 hexadecimal digits."""
    return _sha256(normalise(text))


def statement_hash(text: str) -> str:
    """Return the SHA-256 of one statement, as 64 hexadecimal digits."""
    return _sha256(text.replace("\r\n", "\n"))


def _sha256(text: str) -> str:
    # A lone surrogate cannot come from a file, but must not crash a caller either.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
