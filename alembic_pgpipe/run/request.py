"""What Alembic was asked for: the steps from where the database is, and whether any is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script.revision import MultipleHeads, ResolutionError
from alembic.util import CommandError

from alembic_pgpipe.ledger.elsewhere import Place
from alembic_pgpipe.revisions.broken import two_heads
from alembic_pgpipe.revisions.reach import verb_of
from alembic_pgpipe.run.known import Known
from alembic_pgpipe.sending.session import Session

AlembicStep = RevisionStep | StampStep


@dataclass(frozen=True, slots=True)
class Request:
    """An upgrade, a downgrade or a stamp, on one database.

    ``steps`` is Alembic's own function that yields the steps, ``migrate`` the one that
    runs them.  It ``looks_ahead`` where the steps do not depend on what was applied long ago.
    """

    context: MigrationContext
    steps: Callable[[Any, MigrationContext], Iterable[AlembicStep]]
    migrate: Callable[[], None]
    known: Known
    session: Session
    looks_ahead: bool = False

    @property
    def verb(self) -> str:
        """Return what was typed behind ``alembic``."""
        return verb_of(self.steps)

    @property
    def versions(self) -> Place:
        """Return where Alembic keeps the versions."""
        return Place(self.context.version_table_schema or "", self.context.version_table)

    def is_done(self) -> bool:
        """Return whether neither Alembic nor the ledger has anything to do."""
        if self.context.purge:
            return False
        heads = self.heads()
        return not self.due(heads) and self.known.settled(heads)

    def heads(self) -> tuple[str, ...]:
        """Return what ``alembic_version`` says now."""
        self.session.between()
        heads = self.context.get_current_heads()
        self.session.driver.connection.rollback()
        return heads

    def due(self, heads: tuple[str, ...]) -> list[AlembicStep]:
        """Return Alembic's steps from there; raises what its errors mean to people."""
        revisions = self.known.revisions
        present = revisions.heads()
        if not self.context.purge:
            revisions.applied(heads)
            if revisions.behind(heads):
                self.known.agreed(heads)
        if self.looks_ahead:
            revisions.see_recent(heads)
        try:
            return list(self.steps(heads, self.context))
        except CommandError as error:
            if isinstance(error.__cause__, MultipleHeads):
                raise two_heads(present) from error
            if isinstance(error.__cause__, ResolutionError):
                name = error.__cause__.argument
                raise revisions.unknown(name, self._typed_with(name)) from error
            raise

    def run(self, behind: Callable[[], None] = lambda: None) -> None:
        """Let Alembic run what it is given, and ``behind`` in the same transaction."""
        self.session.between()
        with self.context.begin_transaction():
            self.migrate()
            behind()

    def _typed_with(self, name: str) -> str:
        """Return what was typed, with ``{}`` in the place of a name."""
        asked = self.context.opts.get("destination_rev") or name
        targets = asked if isinstance(asked, str) else " ".join(asked)
        return f"alembic {self.verb} {targets.replace(name, '{}', 1)}"
