"""Say which revision file is broken, and which revision the project lacks."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

from alembic.script.revision import RevisionError as CircleError

from alembic_pgpipe.errors import RevisionError
from alembic_pgpipe.settings import Settings


def unreadable(error: Exception, versions: Path, settings: Settings) -> RevisionError:
    """Return the error for revision files that Alembic could not read.

    ``error`` is what Python, or Alembic's reading of the history, raised.
    """
    shown = settings.shown(versions)
    if isinstance(error, CircleError):
        return RevisionError(
            f"The history in {shown} cannot be read: {error}. Mend down_revision in one "
            "of them, then look: alembic pgpipe check"
        )
    file, line = _place(error, versions)
    where = f"{settings.shown(Path(file))}:{line}" if file else shown
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return RevisionError(
        f"{where}: this revision cannot be read: {type(error).__name__}: {said}. Nothing was "
        "run. Mend it, then look: alembic pgpipe check"
    )


def unknown_version(revision: str, versions: str) -> RevisionError:
    """Return the error for a revision that only the database knows."""
    return RevisionError(
        f"alembic_version names revision {revision!r}, which no file in {versions} has; it may "
        "have been applied from another branch. Nothing was run. Get that file, or say what is "
        "applied here: alembic stamp --purge REVISION"
    )


def two_heads(heads: Sequence[str]) -> RevisionError:
    """Return the error for a history that ends in several heads."""
    return RevisionError(
        f"The history has {len(heads)} heads ({', '.join(sorted(heads))}), as after a merge of "
        "two branches. Nothing was run. Join them: alembic pgpipe wrap --merge"
    )


def _place(error: Exception, versions: Path) -> tuple[str | None, int | None]:
    """Return the file and line of a revision's own code that an error comes from."""
    if isinstance(error, SyntaxError):
        return error.filename, error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent == versions]
    return (own[-1].filename, own[-1].lineno) if own else (None, None)
