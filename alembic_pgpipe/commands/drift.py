"""``alembic pgpipe status --routines --tables``: what is not as the project made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from alembic.config import Config
from sqlalchemy import Connection

from alembic_pgpipe.drift.differences import (
    Drift,
    find_drift,
    find_structure_drift,
    own_objects,
    without_lone_partitions,
)
from alembic_pgpipe.drift.on_tables import Sides, with_triggers_and_policies
from alembic_pgpipe.drift.settings_apart import settings_apart
from alembic_pgpipe.drift.wording import in_words_of_project
from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.ledger.tables import NAMES
from alembic_pgpipe.model import Direction, Outcome, Status
from alembic_pgpipe.objects.heads import Head, heads
from alembic_pgpipe.objects.held import DatabaseObject, Named
from alembic_pgpipe.objects.tables import Structure, TableKind, read_structures
from alembic_pgpipe.project import OpenLedger, open_ledger, visit_project
from alembic_pgpipe.rehearsal.database import rehearsal
from alembic_pgpipe.routines.copies import ReadCopy, copy_of, cut_copies
from alembic_pgpipe.routines.working import read_snapshots
from alembic_pgpipe.shipping.stage import Stage
from alembic_pgpipe.showable import counted
from alembic_pgpipe.source.checksum import checksum
from alembic_pgpipe.source.files import is_snapshot
from alembic_pgpipe.source.loading import load_source

# What alembic_version has passed, and what was not run all the same.
PASSED_OVER = (Status.SKIPPED, Status.RETRY, Status.ERROR)


@dataclass(frozen=True, slots=True)
class FoundDrift:
    """An object that drifted, and the working copy that creates it, as people see it."""

    drift: Drift[Named]
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """How many things were compared, by what they are called, and which of them drifted."""

    counts: Mapping[str, int]
    found: tuple[FoundDrift, ...] = ()

    @property
    def total(self) -> int:
        """Return how many were compared."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What was compared with what the project makes of it, and which of it drifted.

    ``routines`` or ``tables`` are None where they were not asked for.  ``pending`` revisions
    have not been run on the database; what it holds is compared with what the others make.
    ``unmade`` are the routine files whose objects the project itself has dropped since, in a
    source: there is nothing to compare.  ``notes`` say what may have been called drift, and
    is none.
    """

    database: str
    pending: int
    routines: Compared | None = None
    tables: Compared | None = None
    unmade: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def found(self) -> tuple[FoundDrift, ...]:
        """Return all that drifted."""
        sides = (self.routines, self.tables)
        return tuple(one for side in sides if side is not None for one in side.found)


def drift(config: Config, *, routines: bool = True, tables: bool = False) -> DriftReport:
    """Compare what the database holds with what the project's revisions make of it.

    ``routines`` are the objects of the snapshots; ``tables`` are all tables, sequences and
    types.  The project's database is only read.  What was run there is run on the rehearsal.
    Raises UnreachableError where no scratch server can be had, RehearsalError where the
    history cannot be replayed.
    """
    run = visit_project(config, partial(_what_was_run, routines=routines))
    if not run.heads and not (tables and run.revisions):
        of_routines, of_tables = (
            Compared({}) if asked else None for asked in (routines, tables)
        )
        return DriftReport(run.database, run.pending, of_routines, of_tables, (), run.notes)
    # env.py may run for one database at a time: the rehearsal's is done when it is there.
    to = run.revisions if run.pending else None
    with rehearsal(config, to=to, left_out=run.passed_over) as rehearsed:
        comparison = _Comparison(run, Stage(rehearsed), routines, tables)
        return visit_project(config, comparison.report)


@dataclass(frozen=True, slots=True)
class _Run:
    """What was run on the database: up to which revisions, and what its snapshots create.

    ``passed_over`` were not, though ``alembic_version`` has passed them.  ``copies`` are the
    working copies that say what was run.
    """

    database: str
    revisions: tuple[str, ...]
    pending: int
    passed_over: frozenset[str]
    notes: tuple[str, ...]
    heads: tuple[Head, ...]
    copies: tuple[ReadCopy, ...]


def _what_was_run(visit: Visit, *, routines: bool) -> _Run:
    with open_ledger(visit) as ledger:
        now = ledger.heads
        applied = visit.revisions.applied(now)
        pending = [one for one in visit.revisions.all() if one.id not in applied]
        created = tuple(_created(visit, applied))
        copies = tuple(_copies_run(visit, applied)) if routines else ()
        history = ledger.history()
        passed = frozenset(id_ for id_ in applied if history.status(id_) in PASSED_OVER)
        notes = (*_passed_over(history, passed), *_half_done(visit, history))
        label = ledger.database.label
        return _Run(label, now, len(pending), passed, notes, created, copies)


def _passed_over(history: History, passed: frozenset[str]) -> Iterator[str]:
    statuses = Counter(history.status(revision) for revision in passed)
    counts = [f"{statuses[one]} {one.value}" for one in PASSED_OVER if statuses[one]]
    if counts:
        yield (
            f"{counted(len(passed), 'revision')} passed over here ({', '.join(counts)}): what "
            "such a one makes may be called missing"
        )


def _half_done(visit: Visit, history: History) -> Iterator[str]:
    for one in visit.revisions.all():
        last = history.open_try(one.id, Direction.UPGRADE)
        if last is None or last.outcome is Outcome.SUCCESS or last.left_standing is None:
            continue
        yield (
            f"{one.id} ({one.name}) is half done: {last.left_standing}; what it made may be "
            "called changed or extra"
        )


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


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The rehearsal, with which the project's database is compared."""

    run: _Run
    stage: Stage
    routines: bool
    tables: bool

    def report(self, visit: Visit) -> DriftReport:
        """Compare the project's database with it."""
        with open_ledger(visit) as ledger:
            tables = self._tables(ledger) if self.tables else None
            return DriftReport(
                self.run.database,
                self.run.pending,
                self._routines(ledger) if self.routines else None,
                tables,
                tuple(self._unmade()) if self.routines else (),
                (*self.run.notes, *self._of_servers(ledger, tables)),
            )

    @property
    def _rehearsed(self) -> Connection:
        return self.stage.rehearsal.connection

    @property
    def _own(self) -> Sequence[DatabaseObject]:
        return own_objects(self.stage.objects().values(), self.run.heads)

    def _routines(self, ledger: OpenLedger) -> Compared:
        own = self._own
        copies = tuple(cut_copies(ledger.visit.settings, ledger.schema_of_sources()))
        drifted = find_drift(ledger.connection, self.stage, own)
        found = (FoundDrift(one, _file(one.object, copies)) for one in drifted)
        return Compared({"object": len(own)}, tuple(found))

    def _tables(self, ledger: OpenLedger) -> Compared:
        ledgers = _ledgers(ledger.visit)
        project, database = without_lone_partitions(
            read_structures(self._rehearsed, ledgers),
            read_structures(ledger.connection, ledgers),
        )
        worded = in_words_of_project(project, database, self.stage)
        sides = with_triggers_and_policies(
            Sides(project, worded), ledger.connection, self.stage, self._own
        )
        drifted = find_structure_drift(sides.project, sides.database)
        return Compared(_counts(project), tuple(map(FoundDrift, drifted)))

    def _unmade(self) -> Iterator[str]:
        made = self.stage.objects().values()
        for copy in self.run.copies:
            if not any(map(copy.creates, made)):
                yield copy.shown

    def _of_servers(self, ledger: OpenLedger, tables: Compared | None) -> Iterator[str]:
        if tables is None:
            return
        yield from self._versions(ledger)
        # Where nothing is called drift, nothing is called so for a setting.
        if tables.found:
            with ledger.database.connect(own=False) as connection:
                yield from settings_apart(connection, self._rehearsed)

    def _versions(self, ledger: OpenLedger) -> Iterator[str]:
        here, there = _major(ledger.connection), _major(self._rehearsed)
        if here != there:
            yield (
                f"the database is on PostgreSQL {here}, the rehearsal on {there}: they may "
                "word one expression in two ways"
            )


def _file(found: DatabaseObject, copies: tuple[ReadCopy, ...]) -> str | None:
    copy = copy_of(found, copies)
    return copy.shown if copy is not None else None


def _ledgers(visit: Visit) -> frozenset[tuple[str, str]]:
    """Return the tables that the tool and Alembic keep themselves, by schema and name."""
    versions, schema = visit.given.versions, visit.settings.schema
    return frozenset({(versions.schema, versions.name), *((schema, name) for name in NAMES)})


def _counts(structures: Sequence[Structure]) -> Mapping[str, int]:
    kinds = Counter(one.kind for one in structures)
    return {kind.value.lower(): kinds[kind] for kind in TableKind if kinds[kind]}


def _major(connection: Connection) -> int:
    found = connection.exec_driver_sql(
        "SELECT pg_catalog.current_setting('server_version_num')"
    )
    return int(found.scalar_one()) // 10_000
