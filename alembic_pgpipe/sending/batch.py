"""Which statements of a source share one message, so that round trips stay few."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from alembic_pgpipe.source.batching import indexed_table, may_share, new_table
from alembic_pgpipe.source.reader import Statement

# The server needs about thirteen times a message's size while it reads it.
MOST_CHARACTERS = 1 << 18
MOST_STATEMENTS = 2_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Statements that are sent as one message; the first one has ``number`` in its source."""

    number: int
    statements: tuple[Statement, ...]

    @property
    def text(self) -> str:
        """Return the message."""
        return "\n".join(statement.text for statement in self.statements)


class Ahead:
    """Gives batches one by one, and can prepare the next one while the server is busy."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._next: Batch | None = None
        self._error: Exception | None = None

    def prepare(self) -> None:
        """Read the next batch now; an error that this meets waits for its turn."""
        if self._next is None and self._error is None:
            try:
                self._next = next(self._batches, None)
            except Exception as error:  # noqa: BLE001  it is raised by take()
                self._error = error

    def take(self) -> Batch | None:
        """Return the next batch, or None where there is none."""
        self.prepare()
        if self._error is not None:
            raise self._error
        batch, self._next = self._next, None
        return batch


def batches(statements: Iterable[Statement]) -> Iterator[Batch]:
    """Yield statements in messages of bounded size; each is in memory for its own time.

    Only what ends at once shares a message: where one fails, all of it is repeated.
    """
    shared: list[Statement] = []
    # Tables of this message: what it has put into them is little.
    new: set[str | None] = set()
    size, number = 0, 0
    for number, statement in enumerate(statements, 1):
        light = _is_light(statement, new)
        full = size + len(statement.text) > MOST_CHARACTERS or len(shared) == MOST_STATEMENTS
        if shared and (full or not light):
            yield Batch(number - len(shared), tuple(shared))
            shared, new, size = [], set(), 0
            light = _is_light(statement, new)
        if light:
            shared.append(statement)
            new.add(new_table(statement))
            size += len(statement.text)
        else:
            yield Batch(number, (statement,))
    if shared:
        yield Batch(number - len(shared) + 1, tuple(shared))


def only(statements: Iterable[Statement]) -> Batch | None:
    """Return statements as one message; None where they need several, or one of their own."""
    made = batches(statements)
    first = next(made, None)
    if first is None or next(made, None) is not None:
        return None
    # A statement that shares no message is alone in its own.
    return first if _is_light(first.statements[0], set()) else None


def _is_light(statement: Statement, new: Collection[str | None]) -> bool:
    if not statement.text.endswith(";"):
        return False
    if may_share(statement):
        return True
    table = indexed_table(statement)
    return table is not None and table in new
