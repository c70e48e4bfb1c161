"""What is said only once no crash of the server can take it back.

The commit of a small step need not wait for the disk where another one follows at once: a
later commit that waits puts all of them there, and none without those before it (PostgreSQL
docs, "Asynchronous Commit").  Until then nobody is told that the step is applied.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

TAKEN_BACK = "  taken back by a crash of the server: the next run applies it again"
NOT_KNOWN = "  committed; whether the server kept it when it broke off, the next run finds out"
# Asks on a connection whether a step is still recorded as done.
Kept = Callable[[Connection], bool]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log, ``echoed`` to the terminal or not.

    One that tells of a step's end knows how to ask whether that was ``kept``.
    """

    text: str
    echoed: bool = True
    kept: Kept | None = None

    def found(self, connection: Connection) -> Entry:
        """Return the entry as the ledger has it now."""
        if self.kept is None or self.kept(connection):
            return self
        return replace(self, text=TAKEN_BACK, kept=None)

    def unknown(self) -> Entry:
        """Return the entry where nobody can be asked."""
        return self if self.kept is None else replace(self, text=NOT_KNOWN, kept=None)


@dataclass(slots=True)
class Postponed:
    """The entries that wait for the disk, in their order.

    ``witness`` is a connection that was there before the first of them: as long as it lives,
    the server has not crashed.
    """

    entries: list[Entry] = field(default_factory=list)
    witness: Connection | None = None
    _since: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def seconds(self) -> float:
        """Return for how long the oldest one has been waiting."""
        return time.monotonic() - self._since if self.entries else 0.0

    @property
    def lines(self) -> list[str]:
        """Return what the entries say."""
        return [one.text for one in self.entries]

    def add(self, entry: Entry) -> None:
        """Add an entry behind those that wait."""
        if not self.entries:
            self._since = time.monotonic()
        self.entries.append(entry)

    def look_again(self, connection: Connection) -> None:
        """See on another connection than before what became of the steps."""
        if connection is not self.witness:
            self.entries = [one.found(connection) for one in self.entries]
            self.witness = connection

    def give_up(self) -> None:
        """Say that nobody knows what became of the steps."""
        self.entries = [one.unknown() for one in self.entries]

    def take(self) -> Iterator[Entry]:
        """Yield the entries, which wait no longer."""
        while self.entries:
            yield self.entries.pop(0)
