"""What is done beside a statement while it runs: see whom it waits for."""

from __future__ import annotations

from dataclasses import dataclass

from alembic_pgpipe.run.blockers import Blockers


@dataclass(frozen=True, slots=True)
class Watching:
    """Looks on the journal what a statement on the main connection is doing."""

    blockers: Blockers

    def begin(self) -> None:
        """Hear that a message is about to be sent."""
        self.blockers.forget()

    def tick(self) -> None:
        """Look whom it waits for now."""
        self.blockers.look()
