"""``alembic pgpipe status --routines``: what in the database is not as the project made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alembic.config import Config

from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.objects.heads import Head, heads
from alembic_pgpipe.objects.held import DatabaseObject, read_objects
from alembic_pgpipe.project import open_ledger, visit_project
from alembic_pgpipe.rehearsal.database import rehearsal
from alembic_pgpipe.routines.copies import ReadCopy, copy_of, cut_copies
from alembic_pgpipe.routines.working import read_snapshots
from alembic_pgpipe.shipping.drift import Drift, find_drift, own_objects
from alembic_pgpipe.shipping.stage import Stage
from alembic_pgpipe.source.checksum import checksum
from alembic_pgpipe.source.files import is_snapshot
from alembic_pgpipe.source.loading import load_source


@dataclass(frozen=True, slots=True)
class FoundDrift:
    """An object that drifted, and the working copy that creates it, as people see it."""

    drift: Drift
    file: str | None


@dataclass(frozen=True, slots=True)
class DriftReport:
    """How many of the project's objects were compared, and which drifted.

    ``pending`` revisions have not been run on the database; what it holds is compared with
    what the others make.  ``unmade`` are the routine files whose objects the project itself
    has dropped since, in a source: there is nothing to compare.
    """

    database: str
    compared: int
    found: tuple[FoundDrift, ...]
    pending: int
    unmade: tuple[str, ...] = ()


def drift(config: Config) -> DriftReport:
    """Compare the objects of the database with what the snapshots make of them.

    The project's database is only read.  The snapshots that were run there are run on the
    rehearsal.  Raises UnreachableError where no scratch server can be had, RehearsalError
    where the history cannot be replayed.
    """
    run = visit_project(config, _what_was_run)
    if not run.heads:
        return DriftReport(run.database, 0, (), run.pending)
    # env.py may run for one database at a time: the rehearsal's is done when it is there.
    with rehearsal(config, to=run.revisions if run.pending else None) as rehearsed:
        made = read_objects(rehearsed.connection)
        own = own_objects(made, run.heads)
        stage = Stage(rehearsed)
        found = visit_project(config, lambda visit: _found(visit, stage, own))
    unmade = tuple(copy.shown for copy in run.copies if not any(map(copy.creates, made)))
    return DriftReport(run.database, len(own), found, run.pending, unmade)


@dataclass(frozen=True, slots=True)
class _Run:
    """What was run on the database: up to which revisions, and what its snapshots create.

    ``copies`` are the working copies that say what was run.
    """

    database: str
    revisions: tuple[str, ...]
    pending: int
    heads: tuple[Head, ...]
    copies: tuple[ReadCopy, ...]


def _what_was_run(visit: Visit) -> _Run:
    with open_ledger(visit) as ledger:
        now = ledger.heads
        applied = visit.revisions.applied(now)
        pending = [one for one in visit.revisions.all() if one.id not in applied]
        created = tuple(_created(visit, applied))
        copies = tuple(_copies_run(visit, applied))
        return _Run(ledger.database.label, now, len(pending), created, copies)


def _copies_run(visit: Visit, applied: frozenset[str]) -> Iterator[ReadCopy]:
    sources = {one.source for one in visit.revisions.all() if one.id in applied}
    latest = read_snapshots(visit.settings)
    for copy in cut_copies(visit.settings):
        found = latest.get(copy.name)
        if found is None or found.file not in sources:
            continue
        if copy.heads() and checksum(found.text) == checksum(copy.text):
            yield copy


def _created(visit: Visit, applied: frozenset[str]) -> Iterator[Head]:
    settings = visit.settings
    for revision in visit.revisions.all():
        if revision.id in applied and revision.source and is_snapshot(revision.source):
            source = load_source(settings.sources, revision.source, settings.project)
            yield from (head for _, head in heads(source.statements()))


def _found(visit: Visit, stage: Stage, own: Sequence[DatabaseObject]) -> tuple[FoundDrift, ...]:
    with open_ledger(visit) as ledger:
        copies = tuple(cut_copies(visit.settings, ledger.schema_of_sources()))
        drifted = find_drift(ledger.connection, stage, own)
        return tuple(FoundDrift(one, _file(one.object, copies)) for one in drifted)


def _file(found: DatabaseObject, copies: tuple[ReadCopy, ...]) -> str | None:
    copy = copy_of(found, copies)
    return copy.shown if copy is not None else None
