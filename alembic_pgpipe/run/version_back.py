"""Which version of a routine file an undo brings back: never one that was skipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from alembic_pgpipe.errors import RevisionError, SourceError
from alembic_pgpipe.model import Revision, Status
from alembic_pgpipe.objects.heads import Head, heads
from alembic_pgpipe.routines.sections import sections
from alembic_pgpipe.routines.working import names_in_snapshot
from alembic_pgpipe.run.known import Known
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.files import SEVERAL, is_snapshot
from alembic_pgpipe.source.reader import Statement, read_statements
from alembic_pgpipe.source.text import decode


def refuse_skipped_back(revisions: Iterable[Revision], known: Known, sources: Sources) -> None:
    """Raise RevisionError where a skipped version of a routine file would be live again.

    ``wrap`` writes the version before as the undo of a snapshot, and cannot know what a
    database will skip.  ``revisions`` are to be undone in this order.
    """
    undone = [one for one in revisions if one.source and is_snapshot(one.source)]
    if not undone:
        return
    back = tuple(_brought_back(undone, known.revisions.all(), sources))
    history = known.history(older for _, _, older in back)
    for one, name, older in back:
        is_skipped = history.status(older.id) is Status.SKIPPED
        if is_skipped and _is_text_of(one, name, older, sources):
            raise RevisionError(
                f"Revision {one.id} ({one.name}) cannot be downgraded: its undo, {one.undo}, "
                f"brings back {older.id} ({older.name}), which is SKIPPED here. Nothing was "
                "run. Write the text that is wanted into the file among the routines, then: "
                "alembic pgpipe wrap, and: alembic upgrade head"
            )


def _brought_back(
    undone: Sequence[Revision], everything: Sequence[Revision], sources: Sources
) -> Iterator[tuple[Revision, str, Revision]]:
    """Yield which revision's undo brings a routine file back to which version, in the end.

    What older revisions of the same downgrade made as well, they take away.
    """
    before = _versions_before(everything, sources.settings)
    chains: dict[str, list[Revision]] = {}
    for one in undone:
        for name in _names(sources.settings, one):
            chains.setdefault(name, []).append(one)
    for name, chain in chains.items():
        for place, one in enumerate(chain, 1):
            older = before[one.id].get(name)
            if older is not None and _stays(name, older, chain[place:], sources):
                yield one, name, older


def _stays(name: str, older: Revision, undone: Sequence[Revision], sources: Sources) -> bool:
    """Return whether something of an older version of a file outlives what is undone later."""
    if not undone:
        return True
    if older in undone:
        return False
    try:
        gone = {head for one in undone for _, head in _created(name, one, sources)}
        return any(head not in gone for _, head in _created(name, older, sources))
    except SourceError:
        return False


def _versions_before(
    everything: Sequence[Revision], settings: Settings
) -> Mapping[str, Mapping[str, Revision]]:
    """Return by a revision's id, and by file, the version that each of its files had before."""
    latest: dict[str, Revision] = {}
    before = {}
    for revision in everything:
        names = _names(settings, revision)
        before[revision.id] = {name: latest[name] for name in names if name in latest}
        latest |= dict.fromkeys(names, revision)
    return before


def _names(settings: Settings, revision: Revision) -> frozenset[str]:
    try:
        return names_in_snapshot(settings, revision.source or "")
    except SourceError:
        # That nothing is known of this one is no reason to refuse another.
        return frozenset()


def _is_text_of(undone: Revision, name: str, older: Revision, sources: Sources) -> bool:
    """Return whether an undo creates all that an older version of a file creates.

    One that somebody wrote for this very case does not.
    """
    try:
        undo = {one.text for one in sources.load(undone.undo or "").statements()}
        created = {text for text, _ in _created(name, older, sources)}
    except SourceError:
        return False
    return bool(created) and created <= undo


def _created(name: str, revision: Revision, sources: Sources) -> Iterator[tuple[str, Head]]:
    """Yield the statements with which a snapshot creates the objects of one file."""
    source = revision.source or ""
    statements: Iterable[Statement] = sources.load(source).statements()
    if source.endswith(SEVERAL):
        path = sources.settings.sources / source
        texts = sections(decode(path.read_bytes(), source))
        own = "".join(text for file, _, text in texts if file == name)
        statements = read_statements(own, source)
    yield from ((statement.text, head) for statement, head in heads(statements))
