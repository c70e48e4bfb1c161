"""Where a person sees how far a step is, while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from alembic_pgpipe.watching.progress import Progress

# Where Alembic's configuration carries the display, in its attributes.
DISPLAY = "alembic_pgpipe.display"


class Display(Protocol):
    """A place on a terminal where something moves."""

    def show(self, progress: Progress) -> None:
        """Show how far a step is, in place of what was shown before."""

    def hide(self) -> None:
        """Leave no trace, so that lines can be printed; nothing where nothing is shown."""
