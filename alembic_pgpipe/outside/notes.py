"""Where the progress of a source outside a transaction is kept, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alembic_pgpipe.ledger.attempts import Attempts
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.outside.aftermath import UnclearError


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of one attempt.

    ``retry`` is what to type ahead of the next run where only that lets it try again.
    """

    journal: Recorder
    attempt: int
    retry: str
    say: Callable[[str], None]
    redact: Callable[[str], str]
    is_secret: Callable[[str], bool]

    @property
    def attempts(self) -> Attempts:
        """Return where the attempt's progress is written."""
        return self.journal.attempts

    def tell(self, text: str) -> None:
        """Say something of the step in the log."""
        self.say(f"  {text}")

    def unclear(self, unclear: UnclearError) -> str:
        """Return what nobody can know, and what to type then."""
        retry = "" if unclear.edit else self.retry
        return f"{unclear} Then: {retry}{self.journal.again}"
