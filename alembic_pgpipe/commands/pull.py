"""``alembic pgpipe pull``: write what the database holds into the working copies."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from alembic.config import Config

from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.errors import RevisionError, RoutineError
from alembic_pgpipe.objects.definitions import read_definitions, read_user
from alembic_pgpipe.objects.heads import Head, heads
from alembic_pgpipe.objects.held import DatabaseObject, Kind, read_objects
from alembic_pgpipe.objects.unread import unreadable_bodies
from alembic_pgpipe.project import OpenLedger, open_ledger, visit_project
from alembic_pgpipe.revisions.broken import two_heads
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.wrapper import Wrapper, WrapperWriter, revision_id
from alembic_pgpipe.routines.baseline import Baseline, read_baseline
from alembic_pgpipe.routines.copies import ReadCopy, copy_of, cut_copies
from alembic_pgpipe.routines.naming import file_names
from alembic_pgpipe.routines.working import changed_routines, read_copies, read_snapshots
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.files import source_name
from alembic_pgpipe.source.loading import load_source

REPLACEABLE = frozenset(
    {Kind.FUNCTION, Kind.PROCEDURE, Kind.AGGREGATE, Kind.VIEW, Kind.TRIGGER}
)
NEAR = 0.4
FEW = 6


@dataclass(frozen=True, slots=True)
class Pulled:
    """An object, and the file that holds its text now; of a baseline its revision, too."""

    identity: str
    file: str
    changed: bool
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An object that was not pulled, and why."""

    identity: str
    reason: str


@dataclass(frozen=True, slots=True)
class PullReport:
    """What was written; ``database`` is where it came from."""

    database: str
    pulled: tuple[Pulled, ...]
    left_out: tuple[LeftOut, ...] = ()


def pull(config: Config, names: Sequence[str], *, force: bool = False) -> PullReport:
    """Write what the database holds of these objects into the working copies.

    A name may be qualified, and have the types of its arguments: ``app.f(integer)``,
    ``audit ON app.t``.  An object that no file creates gets one.  ``force`` overwrites
    files whose changes no snapshot holds.  Raises RoutineError for a name that no object,
    or more than one, goes by, and SourceError for a file that cannot take the object.
    """

    def look(visit: Visit) -> PullReport:
        with open_ledger(visit) as ledger:
            return _pull(ledger, names, force)

    return visit_project(config, look)


def pull_all(config: Config, schemas: Sequence[str] = ()) -> PullReport:
    """Write a working copy, a snapshot and a revision for every object without them.

    ``schemas`` limits it.  The revisions are appended to the head; nothing is run on the
    database, and nothing is marked there.  Raises RevisionError where the history has
    several heads or the database is not at the head, RoutineError for an unknown schema.
    """

    def look(visit: Visit) -> PullReport:
        with open_ledger(visit) as ledger:
            return _pull_all(ledger, schemas)

    return visit_project(config, look)


# -- by name ------------------------------------------------------------------------------


def _pull(ledger: OpenLedger, names: Sequence[str], force: bool) -> PullReport:
    connection = ledger.connection
    objects = read_objects(connection)
    wanted = list(dict.fromkeys(_named(name, objects) for name in names))
    definitions = read_definitions(connection, wanted)
    pulling = _Pulling(ledger, objects, ledger.schema_of_sources(), force)
    user = read_user(connection)
    pulled = (pulling.write(one, definitions[one.address].text_for(user)) for one in wanted)
    return PullReport(ledger.database.label, tuple(pulled))


@dataclass(frozen=True, slots=True)
class _Pulling:
    """Writes objects into working copies; ``schema`` is that of unqualified names there."""

    ledger: OpenLedger
    objects: Sequence[DatabaseObject]
    schema: str | None
    force: bool

    @property
    def settings(self) -> Settings:
        return self.ledger.visit.settings

    def write(self, found: DatabaseObject, text: str) -> Pulled:
        copies = tuple(cut_copies(self.settings, self.schema))
        copy = copy_of(found, copies)
        if copy is None:
            return self._write_new(found, text, copies)
        new = copy.with_object(found, text)
        if new != copy.text:
            if not self.force:
                self._refuse_unsaved(copy, found)
                self._refuse_pending(copy, found)
            _write_file(copy.path, new)
        return Pulled(found.identity, copy.shown, changed=new != copy.text)

    def _write_new(
        self, found: DatabaseObject, text: str, copies: Sequence[ReadCopy]
    ) -> Pulled:
        taken = {c.path.relative_to(self.settings.routines).as_posix() for c in copies}
        without = [o for o in self.objects if o == found or copy_of(o, copies) is None]
        path = self.settings.routines / file_names(without, taken)[found.address]
        _write_file(path, text)
        return Pulled(found.identity, self.settings.shown(path), changed=True)

    def _refuse_unsaved(self, copy: ReadCopy, found: DatabaseObject) -> None:
        if any(change.name == copy.name for change in changed_routines(self.settings)):
            raise RoutineError(
                f"{copy.shown} was edited since its last snapshot, and {found.identity} would "
                "be written over that. Keep the edits: alembic pgpipe wrap; or lose them: "
                f"alembic pgpipe pull {shlex.quote(found.identity)} --force"
            )

    def _refuse_pending(self, copy: ReadCopy, found: DatabaseObject) -> None:
        """Raise RoutineError where the database has an older version than the file is."""
        revisions = self.ledger.visit.revisions
        applied = revisions.applied(self.ledger.heads)
        latest = read_snapshots(self.settings)[copy.name].file
        if any(one.source == latest and one.id not in applied for one in revisions.all()):
            raise RoutineError(
                f"{self.ledger.database.label} has not run {latest}, and its older "
                f"{found.identity} would be written over what {copy.shown} says. First: "
                "alembic upgrade head; or write it all the same: alembic pgpipe pull "
                f"{shlex.quote(found.identity)} --force"
            )


def _named(name: str, objects: Sequence[DatabaseObject]) -> DatabaseObject:
    wanted = " ".join(name.split())
    exact = [one for one in objects if wanted == one.identity]
    found = exact or [one for one in objects if wanted in _ways(one)]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(f"{one.kind.value.lower()} {one.identity}" for one in found[:FEW])
        more = f" and {len(found) - FEW} more" if len(found) > FEW else ""
        raise RoutineError(
            f"{name!r} may be any of: {shown}{more}. Type one in full, in quotes."
        )
    ways = {way: one for one in objects for way in _ways(one)}
    near = difflib.get_close_matches(wanted, ways, n=1, cutoff=NEAR)
    meant = f" Did you mean {ways[near[0]].identity}?" if near else ""
    raise RoutineError(
        f"The database holds no routine, view or the like called {name!r}.{meant}"
    )


def _ways(found: DatabaseObject) -> tuple[str, ...]:
    """Return the ways in which people name an object."""
    bare = found.identity.partition(" ON ")[0].partition("(")[0]
    plain = f"{found.schema}.{found.name}" if found.schema else found.name
    return found.name, plain, bare, found.identity


# -- the baseline -------------------------------------------------------------------------


def _pull_all(ledger: OpenLedger, schemas: Sequence[str]) -> PullReport:
    settings, revisions = ledger.visit.settings, ledger.visit.revisions
    everything = read_objects(ledger.connection)
    _refuse_unknown(schemas, everything)
    heads_now = _refuse_unfinished(ledger)
    chosen = [o for o in everything if not schemas or o.schema in schemas]
    known = _Known(tuple(cut_copies(settings)), tuple(_created(revisions, settings)))
    missing = [one for one in chosen if not known.has_copy(one)]
    fresh = [one for one in missing if known.source_of(one) is None]
    with ledger.database.connect(autocommit=True, own=False) as connection:
        unreadable = unreadable_bodies(connection, fresh)
    baseline = read_baseline(ledger.connection, fresh, everything, unreadable)
    taken_by_tables = [o for o in baseline.objects if _comes_with_tables(o, baseline)]
    kept = [one for one in baseline.objects if one not in taken_by_tables]
    pulled = _write_baseline(ledger, kept, baseline, heads_now)
    left_out = (
        *(LeftOut(o.identity, _made_by(known.source_of(o))) for o in missing if o not in fresh),
        *(LeftOut(o.identity, f"{baseline.kept[o.address]} needs it") for o in taken_by_tables),
    )
    return PullReport(ledger.database.label, tuple(pulled), left_out)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the project has of objects: working copies, and what its sources create."""

    copies: tuple[ReadCopy, ...]
    created: tuple[tuple[str, Head], ...]

    def has_copy(self, found: DatabaseObject) -> bool:
        return copy_of(found, self.copies) is not None

    def source_of(self, found: DatabaseObject) -> str | None:
        return next((file for file, head in self.created if head.creates(found)), None)


def _created(revisions: ProjectRevisions, settings: Settings) -> Iterator[tuple[str, Head]]:
    for revision in revisions.all():
        if revision.source is not None:
            source = load_source(settings.sources, revision.source, settings.project)
            for _, head in heads(source.statements()):
                yield source.path, head


def _comes_with_tables(found: DatabaseObject, baseline: Baseline) -> bool:
    """Tell whether an object is there before any baseline can run, and cannot be replaced."""
    return found.kind not in REPLACEABLE and found.address in baseline.kept


def _made_by(source: str | None) -> str:
    return f"{source} creates it"


def _refuse_unfinished(ledger: OpenLedger) -> tuple[str, ...]:
    revisions = ledger.visit.revisions
    now = revisions.heads()
    if len(now) > 1:
        raise two_heads(now)
    applied = revisions.applied(ledger.heads)
    pending = [one for one in revisions.all() if one.id not in applied]
    if pending:
        raise RevisionError(
            f"{ledger.database.label} is not at the head: {len(pending)} pending, from "
            f"{pending[0].name} on, so what it holds is not what a baseline behind them is. "
            "First: alembic upgrade head; or where it holds them already: alembic stamp head"
        )
    return now


def _refuse_unknown(schemas: Sequence[str], objects: Iterable[DatabaseObject]) -> None:
    known = sorted({one.schema for one in objects if one.schema is not None})
    for schema in schemas:
        if schema not in known:
            near = difflib.get_close_matches(schema, known, n=1, cutoff=NEAR)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise RoutineError(f"No routine, view or the like is in schema {schema!r}.{meant}")


def _write_baseline(
    ledger: OpenLedger,
    objects: Sequence[DatabaseObject],
    baseline: Baseline,
    now: Sequence[str],
) -> Iterator[Pulled]:
    settings, revisions = ledger.visit.settings, ledger.visit.revisions
    user, head = read_user(ledger.connection), tuple(now)
    files = file_names(objects, _taken(settings))
    _refuse_present(settings, files.values())
    writer = WrapperWriter(revisions.script, revisions.versions)
    for one in objects:
        file = files[one.address]
        source, undo = _first_snapshot(file)
        text = baseline.text_for(user, one)
        _write_file(settings.routines / file, text)
        _write_file(settings.sources / source, text)
        _write_file(settings.sources / undo, baseline.undo(one))
        title = source_name(source)
        wrapper = Wrapper(revision_id(title), head, title, source, undo)
        writer.write(wrapper)
        head = (wrapper.revision,)
        shown = settings.shown(settings.routines / file)
        yield Pulled(one.identity, shown, changed=True, revision=wrapper.revision)


def _taken(settings: Settings) -> Iterator[str]:
    """Yield the paths of files whose snapshots would have the names of others'."""
    for name in {*read_copies(settings), *read_snapshots(settings)}:
        yield f"{name}.sql"
        yield f"{name.replace('.', '/', 1)}.sql"


def _refuse_present(settings: Settings, files: Iterable[str]) -> None:
    """Raise RoutineError where a file would be written over; nothing is written then."""
    paths: list[Path] = []
    for file in files:
        paths.append(settings.routines / file)
        paths += [settings.sources / name for name in _first_snapshot(file)]
    there = ", ".join(settings.shown(path) for path in paths if path.exists())
    if there:
        raise RoutineError(
            f"{there}: there already, and never written over. Nothing was written. Move it "
            "away, then: alembic pgpipe pull --all"
        )


def _first_snapshot(file: str) -> tuple[str, str]:
    """Return the names of the source for a working copy, and of its undo."""
    name = ".".join(PurePosixPath(file).with_suffix("").parts)
    return f"{name}.v001.sql", f"{name}.v001.down.sql"


def _write_file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
