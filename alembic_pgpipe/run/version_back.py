"""Which version of a routine file an undo brings back: never one that was skipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from alembic_pgpipe.errors import RevisionError, SourceError
from alembic_pgpipe.model import Revision, Status
from alembic_pgpipe.objects.heads import heads
from alembic_pgpipe.routines.working import names_in_snapshot
from alembic_pgpipe.run.known import Known
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.files import is_snapshot


def refuse_skipped_back(revisions: Iterable[Revision], known: Known, sources: Sources) -> None:
    """Raise RevisionError where the undo of a snapshot is the text of a skipped version.

    ``wrap`` wrote that undo, and could not know what a database would skip.
    """
    undone = [one for one in revisions if one.source and is_snapshot(one.source)]
    if not undone:
        return
    before = _versions_before(known.revisions.all(), sources.settings)
    pairs = [(one, older) for one in undone for older in before[one.id]]
    history = known.history(older for _, older in pairs)
    for one, older in pairs:
        is_skipped = history.status(older.id) is Status.SKIPPED
        if is_skipped and _is_text_of(one, older, sources):
            raise RevisionError(
                f"Revision {one.id} ({one.name}) cannot be downgraded: its undo, {one.undo}, "
                f"brings back {older.id} ({older.name}), which is SKIPPED here. Nothing was "
                "run. Write the text that is wanted into the file among the routines, then: "
                "alembic pgpipe wrap, and: alembic upgrade head"
            )


def _versions_before(
    everything: Sequence[Revision], settings: Settings
) -> Mapping[str, tuple[Revision, ...]]:
    """Return by a revision's id the versions that its routine files had before it."""
    latest: dict[str, Revision] = {}
    before = {}
    for revision in everything:
        names = sorted(names_in_snapshot(settings, revision.source or ""))
        before[revision.id] = tuple(latest[name] for name in names if name in latest)
        latest |= dict.fromkeys(names, revision)
    return before


def _is_text_of(undone: Revision, older: Revision, sources: Sources) -> bool:
    """Return whether an undo creates all that an older version creates, word for word.

    One that somebody wrote for this very case does not.
    """
    try:
        undo = {one.text for one in sources.load(undone.undo or "").statements()}
        created = set(_created(older, sources))
    except SourceError:
        return False
    return bool(created) and created <= undo


def _created(revision: Revision, sources: Sources) -> Iterator[str]:
    statements = sources.load(revision.source or "").statements()
    yield from (statement.text for statement, _ in heads(statements))
