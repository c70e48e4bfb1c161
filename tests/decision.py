"""What is decided of a text that is at hand as a whole."""

from __future__ import annotations

from alembic_pgpipe.source.directives import Directives
from alembic_pgpipe.source.reader import read_statements
from alembic_pgpipe.source.transaction import Execution, Rules


def decided(
    text: str,
    directives: Directives = Directives(),  # noqa: B008  it is frozen
    path: str = "f.sql",
    *,
    require_transaction: bool = False,
) -> Execution:
    """Return how a text is to be run; raise SourceError where it may not be."""
    rules = Rules(directives, require_transaction)
    for statement in read_statements(text, path):
        rules.see(statement)
    return rules.verdict()
