"""Text to meaning: reading sources, their directives and their statements."""

from __future__ import annotations

from alembic_pgpipe.source.advice import advice
from alembic_pgpipe.source.batching import may_share
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
    is_storable,
    locate,
    natural_key,
    same_name,
    shown_path,
    source_name,
    undo_file,
)
from alembic_pgpipe.source.forbidden import forbidden_in_transaction
from alembic_pgpipe.source.loading import Source, load_source
from alembic_pgpipe.source.reader import (
    CopyData,
    Statement,
    read_statements,
    without_comments,
)
from alembic_pgpipe.source.text import decode, read_lines
from alembic_pgpipe.source.transaction import (
    Execution,
    Mode,
    Rules,
    is_session_setting,
)

__all__ = [
    "CopyData",
    "Directives",
    "Execution",
    "Mode",
    "Rules",
    "Source",
    "SourceFile",
    "Statement",
    "Transaction",
    "advice",
    "checksum",
    "decode",
    "discover",
    "forbidden_in_transaction",
    "is_session_setting",
    "is_storable",
    "load_source",
    "locate",
    "may_share",
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
