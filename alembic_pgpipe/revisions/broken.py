"""Say which revision file is broken, and which revision the project lacks."""

from __future__ import annotations

import os
import re
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alembic.script.revision import RevisionError as CircleError
from alembic.util import CommandError

from alembic_pgpipe.errors import RevisionError, SourceError
from alembic_pgpipe.model import Revision
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.files import discover, is_storable

# Alembic warns of these and goes on, without the one file or into an error of its own.
TWICE = re.compile(r"Revision (?P<id>.+) is present more than once")
MISSING = re.compile(r"Revision (?P<id>.*) referenced from (?P<by>.+) is not present")
JOIN = "alembic pgpipe wrap --merge"


@contextmanager
def nothing_overlooked(versions: Path, settings: Settings) -> Iterator[None]:
    """Raise RevisionError for what Alembic warns of while it reads the history.

    Other warnings are passed on.
    """
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            said = [str(one.message) for one in found]
            if twice := next(filter(None, map(TWICE.match, said)), None):
                raise _present_twice(twice["id"], versions, settings)
            if missing := next(filter(None, map(MISSING.match, said)), None):
                raise _not_present(missing["id"], missing["by"], versions, settings)
    for one in found:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def refuse_odd_files(versions: Path, settings: Settings) -> None:
    """Raise RevisionError for what has a revision's name and is no file.

    Of a pipe Alembic would wait for the end, and links to nowhere it passes over.
    """
    if not versions.is_dir():
        return
    with os.scandir(versions) as entries:
        odd = sorted(e.name for e in entries if e.name.endswith(".py") and not _is_plain(e))
    if odd:
        raise RevisionError(
            f"{settings.shown(versions / odd[0])}: this is not a regular file; a revision must "
            "be one. Nothing was run. Replace or remove it, then look: alembic pgpipe check"
        )


def refuse_unstorable(revision: Revision) -> None:
    """Raise RevisionError where the ledger cannot keep what a revision goes by."""
    names = {
        "file name": revision.path,
        "id": revision.id,
        "source": revision.source or "",
        "undo": revision.undo or "",
    }
    for what, name in names.items():
        if not is_storable(name) or (what == "id" and "'" in name):
            raise RevisionError(
                f"{revision.path}: its {what} {name!a} holds characters that cannot be "
                "stored. Nothing was run. Give it another one, then look: alembic pgpipe check"
            )


def unreadable(error: BaseException, versions: Path, settings: Settings) -> RevisionError:
    """Return the error for revision files that Alembic could not read.

    ``error`` is what Python, or Alembic's reading of the history, raised.
    """
    shown = settings.shown(versions)
    if isinstance(error, CircleError):
        return RevisionError(
            f"The history in {shown} cannot be read: {error}. Mend down_revision in one "
            "of them, then look: alembic pgpipe check"
        )
    if isinstance(error, CommandError):
        return RevisionError(
            f"{shown}: {error} Nothing was run. Mend it, then look: alembic pgpipe check"
        )
    file, line = _place(error, versions)
    where = f"{settings.shown(Path(file))}:{line}" if file else shown
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return RevisionError(
        f"{where}: this revision cannot be read: {type(error).__name__}: {said}. Nothing was "
        "run. Mend it, then look: alembic pgpipe check"
    )


def unknown_version(revision: str, versions: Path, settings: Settings) -> RevisionError:
    """Return the error for a revision that only the database knows."""
    nowhere = f"{revision!r}, which no file in {settings.shown(versions)} has"
    lost = lost_wrapper(revision, settings)
    if lost is not None:
        return RevisionError(
            f"alembic_version names revision {nowhere}. Nothing was run. {lost}"
        )
    return RevisionError(
        f"alembic_version names revision {nowhere}; it may have been applied from another "
        "branch. Nothing was run. Get that file, or say what is applied here: alembic stamp "
        "--purge REVISION"
    )


def lost_wrapper(revision: str, settings: Settings) -> str | None:
    """Return what to do where only the wrapper of a revision is gone, or None."""
    source = _source_of(revision, settings)
    if source is None:
        return None
    return (
        f"Its source, {source}, is there: only its wrapper was lost. Get that file back; or, "
        "where no other was added since, have it written again: alembic pgpipe wrap"
    )


def _source_of(revision: str, settings: Settings) -> str | None:
    """Return the source whose wrapper has an id, as it is shown; None where there is none."""
    # With it comes the template, which few commands need.
    from alembic_pgpipe.revisions.wrapper import revision_id

    try:
        found = discover(settings.sources, settings.project)
    except (SourceError, OSError):
        return None
    file = next((one.file for one in found if revision_id(one.name) == revision), None)
    return None if file is None else settings.shown(settings.sources / file)


def two_heads(heads: Sequence[str], outcome: str = "Nothing was run") -> RevisionError:
    """Return the error for a history that ends in several heads; ``outcome`` is a sentence."""
    return RevisionError(
        f"The history has {len(heads)} heads ({', '.join(sorted(heads))}), as after a merge of "
        f"two branches. {outcome}. Join them: {JOIN}"
    )


def _present_twice(id_: str, versions: Path, settings: Settings) -> RevisionError:
    own = re.compile(rf"^revision\b[^=\n]*=\s*['\"]{re.escape(id_)}['\"]", re.MULTILINE)
    files = [
        settings.shown(path)
        for path in sorted(versions.glob("*.py"))
        if own.search(path.read_text("utf-8", "replace"))
    ]
    where = ", ".join(files) or settings.shown(versions)
    return RevisionError(
        f"{where}: revision {id_} is there more than once. Nothing was run. Remove all but "
        "one, or give the others ids of their own; then look: alembic pgpipe check"
    )


def _not_present(id_: str, by: str, versions: Path, settings: Settings) -> RevisionError:
    shown, missing = settings.shown(versions), id_ or repr(id_)
    return RevisionError(
        f"{shown}: no file has revision {missing}, which another builds on ({by}). Nothing was "
        "run. Get that file, or mend down_revision; then look: alembic pgpipe check"
    )


def _is_plain(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file() or entry.is_dir()
    except OSError:
        return False


def _place(error: BaseException, versions: Path) -> tuple[str | None, int | None]:
    """Return the file and line of a revision's own code that an error comes from."""
    if isinstance(error, SyntaxError):
        return error.filename, error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent == versions]
    return (own[-1].filename, own[-1].lineno) if own else (None, None)
