"""``alembic pgpipe status --routines``: what in the database is not as the project made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alembic.config import Config

from alembic_pgpipe.environment import Visit
from alembic_pgpipe.project import open_ledger, visit_project
from alembic_pgpipe.routines.catalog import DatabaseObject, read_objects
from alembic_pgpipe.routines.copies import ReadCopy, copy_of, cut_copies
from alembic_pgpipe.routines.drift import Drift, find_drift, own_objects
from alembic_pgpipe.routines.heads import Head, heads
from alembic_pgpipe.routines.rehearsal import rehearsal
from alembic_pgpipe.routines.stage import Stage
from alembic_pgpipe.source import is_snapshot
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
    what the others make.
    """

    database: str
    compared: int
    found: tuple[FoundDrift, ...]
    pending: int


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
        own = own_objects(read_objects(rehearsed.connection), run.heads)
        stage = Stage(rehearsed)
        found = visit_project(config, lambda visit: _found(visit, stage, own))
    return DriftReport(run.database, len(own), found, run.pending)


@dataclass(frozen=True, slots=True)
class _Run:
    """What was run on the database: up to which revisions, and what its snapshots create."""

    database: str
    revisions: tuple[str, ...]
    pending: int
    heads: tuple[Head, ...]


def _what_was_run(visit: Visit) -> _Run:
    with open_ledger(visit) as ledger:
        now = ledger.heads
        applied = visit.revisions.applied(now)
        pending = [one for one in visit.revisions.all() if one.id not in applied]
        created = tuple(_created(visit, applied))
        return _Run(ledger.database.label, now, len(pending), created)


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
