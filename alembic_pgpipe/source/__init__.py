"""Text to meaning: reading sources, their directives and their statements.

How they run is decided in ``transaction``, ``forbidden``, ``loading``, ``batching`` and
``advice``, which are imported by name: commands that run nothing start without them.
"""

from __future__ import annotations

from alembic_pgpipe.source.checksum import checksum, statement_hash
from alembic_pgpipe.source.directives import (
    Directives,
    Transaction,
    read_directives,
    without_header_directives,
)
from alembic_pgpipe.source.files import (
    SourceFile,
    discover,
    is_snapshot,
    is_storable,
    locate,
    natural_key,
    same_name,
    shown_path,
    source_name,
    undo_file,
)
from alembic_pgpipe.source.reader import (
    CopyData,
    Statement,
    read_statements,
    without_comments,
)
from alembic_pgpipe.source.text import decode, read_lines

__all__ = [
    "CopyData",
    "Directives",
    "SourceFile",
    "Statement",
    "Transaction",
    "checksum",
    "decode",
    "discover",
    "is_snapshot",
    "is_storable",
    "locate",
    "natural_key",
    "read_directives",
    "read_lines",
    "read_statements",
    "same_name",
    "shown_path",
    "source_name",
    "statement_hash",
    "undo_file",
    "without_comments",
    "without_header_directives",
]
