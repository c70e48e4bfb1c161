"""How changed working copies become revisions: each is tried before it is written.

Most texts simply run: ``CREATE OR REPLACE`` takes the place of what was there.  Where the
server refuses that, or where something would be left over, the old objects are dropped
and created anew, with those that depend on them, if the project has their texts too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Problem
from alembic_pgpipe.routines.catalog import DatabaseObject, Kind
from alembic_pgpipe.routines.composed import (
    Copied,
    Part,
    Section,
    Told,
    Written,
    bare,
    composed,
    header,
    is_create,
    refuse_directives,
    spliced,
    without_creates,
)
from alembic_pgpipe.routines.copies import PARTS_OF, names_in
from alembic_pgpipe.routines.definitions import Definition, read_definitions
from alembic_pgpipe.routines.dependencies import Dependant, read_dependants
from alembic_pgpipe.routines.domains import altered, read_domain
from alembic_pgpipe.routines.heads import head_of
from alembic_pgpipe.routines.kept import Heir, drop, give_back, keep
from alembic_pgpipe.routines.order import Order, try_in_order
from alembic_pgpipe.routines.stage import CANNOT_REPLACE, Stage, key
from alembic_pgpipe.routines.working import RoutineChange, moved, read_snapshots, shown
from alembic_pgpipe.run.executor import StatementError
from alembic_pgpipe.run.failure import problem_of
from alembic_pgpipe.run.routine_lines import parts as parts_of
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source import (
    Directives,
    read_directives,
    read_statements,
    without_header_directives,
)

# Whoever is the owner of one, or may use it, may be so of its heir of another kind too.
FAMILIES = (
    {Kind.FUNCTION, Kind.PROCEDURE, Kind.AGGREGATE},
    {Kind.VIEW, Kind.MATERIALIZED_VIEW},
)
INDEX = re.compile(r'CREATE (?:UNIQUE )?INDEX (?P<name>"(?:[^"]|"")+"|\S+) ON ')
LOST = "what it created has to go, and with it what no file here creates again: "
# Parts of an object of ours, what ends with the session, and what can be run twice.
FITTING = PARTS_OF | {"TEMP", "TEMPORARY", "IF"}
UNFIT = (
    "{} makes no routine, view or the like, and a downgrade would leave it behind: put it into "
    "a source of its own, which comes ahead"
)
MOVED = "-- The file was moved, and nothing else.\n"
Objects = Mapping[str, DatabaseObject]


@dataclass(frozen=True, slots=True)
class Text:
    """What a working copy says, and the path that people know it by."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Shipment:
    """One revision to be written: the changes that it ships, its parts, and its undo.

    ``undo`` is None where the snapshot before it undoes it.  ``notes`` say what it does
    besides running the text.
    """

    changes: tuple[RoutineChange, ...]
    parts: tuple[Part, ...]
    undo: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The revisions to be written in order, and why the other changes cannot be shipped."""

    shipments: tuple[Shipment, ...]
    problems: tuple[Problem, ...]


class _Declined(Exception):  # noqa: N818  another way may do
    """A change cannot be shipped in this way; None: what was said before is the reason."""

    def __init__(self, problem: Problem | None) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Anew:
    """What is dropped, and which texts then create it again, changed ones first.

    ``own`` is what the changed files have created so far, by kind and identity.
    """

    drops: tuple[DatabaseObject, ...]
    changes: tuple[RoutineChange, ...]
    others: Mapping[str, Text]
    notes: tuple[str, ...]
    own: frozenset[str]


@dataclass(slots=True)
class Shipping:
    """Plans revisions on a stage; ``texts`` are the latest snapshots by name.

    With ``keep_old``, what a changed text no longer creates is left where it is.
    """

    stage: Stage
    texts: dict[str, Text]
    keep_old: bool = False
    _owners: dict[str, str] = field(default_factory=dict)

    def plan(
        self,
        changes: Iterable[RoutineChange],
        shipped: Callable[[Shipment], None] = lambda _: None,
    ) -> Plan:
        """Return the revisions that ship the changes, in an order that the server takes.

        ``shipped`` hears of each of them as soon as it has run on the stage.
        """
        changes = tuple(changes)
        shipments = list(_moves(changes))
        settled = {change for shipment in shipments for change in shipment.changes}
        self._ship(*settled)
        unfit = {change: problem for change in changes if (problem := _unfit(change))}
        waiting = [change for change in changes if change not in {*settled, *unfit}]
        refused: dict[str, Problem] = {}
        while waiting:
            found = self._next(waiting, refused)
            if found is None:
                break
            shipments.append(found)
            shipped(found)
            waiting = [change for change in waiting if change not in found.changes]
        problems = (*unfit.values(), *(refused[change.name] for change in waiting))
        return Plan(tuple(shipments), problems)

    def _next(
        self, waiting: Sequence[RoutineChange], refused: dict[str, Problem]
    ) -> Shipment | None:
        """Return the first change that simply runs, else the first that needs more."""
        for way in (self._run, self._alter, self._replace):
            for change in waiting:
                if way != self._run and not change.old:
                    continue  # a new file has nothing to replace
                try:
                    return way(change, waiting)
                except _Declined as error:
                    refused[change.name] = error.problem or refused[change.name]
        return None

    # -- a text that simply runs ---------------------------------------------------------

    def _run(self, change: RoutineChange, _waiting: Sequence[RoutineChange]) -> Shipment:
        before = self.stage.objects()
        taken = self._taken_over(change)
        with _declining(change), self.stage.rehearsal.savepoint():
            old = self._created_by(change)
            created, left = self._simply(change, old, keep_old=self.keep_old)
            self._refuse_shared(change, set(map(key, old)), created, before)
        self._ship(change)
        if change.old and not left:
            undo = self._undo((change,), before)
        else:
            new = [one for one in created if key(one) not in before]
            undo = self._dropped(new) + "".join(one.create for one in taken)
        notes = (f"{one.identity} stays beside it" for one in left)
        return Shipment((change,), (Copied(change.new),), undo, tuple(notes))

    def _simply(
        self, change: RoutineChange, old: Sequence[DatabaseObject], *, keep_old: bool
    ) -> tuple[Sequence[DatabaseObject], Sequence[DatabaseObject]]:
        """Run a text; return what it creates, and what it no longer does."""
        if not change.new:
            raise _Declined(_problem(change, "this file is gone"))
        created = self.stage.create(change.new, change.path)
        left = self._left_over(old, created)
        if left and not keep_old:
            names = ", ".join(one.identity for one in left)
            raise _Declined(_problem(change, f"{names} would be left over"))
        return created, left

    def _refuse_shared(
        self,
        change: RoutineChange,
        own: Container[str],
        created: Iterable[DatabaseObject],
        before: Objects,
    ) -> None:
        """Refuse a file that comes to create what another file creates as well."""
        for one in (o for o in created if key(o) in before and key(o) not in own):
            owner = self._owner_of(one)
            if owner is not None and owner != change.name:
                path = self.texts[owner].path
                raise _Declined(_problem(change, f"{path} creates {one.identity} as well"))

    def _taken_over(self, change: RoutineChange) -> Sequence[Definition]:
        """Return how objects are defined that a file may take over and must give back."""
        if change.old and not self.keep_old:
            return ()
        with _declining(change):
            with self.stage.undone():
                # First as it is: an error then has the place that it has in the file.
                self.stage.create(change.new, change.path)
            taken = self.stage.created_by(change.new, change.path)
        return self._definitions(taken)

    def _created_by(self, change: RoutineChange) -> tuple[DatabaseObject, ...]:
        return self.stage.created_by(change.old, change.path) if change.old else ()

    def _left_over(
        self, old: Iterable[DatabaseObject], created: Iterable[DatabaseObject]
    ) -> tuple[DatabaseObject, ...]:
        kept = {key(one) for one in created}
        there = self.stage.objects()
        return tuple(one for one in old if key(one) not in kept and key(one) in there)

    def _dropped(self, objects: Iterable[DatabaseObject]) -> str:
        return "".join(f"{drop(one)}\n" for one in self.stage.in_order_of_drops(objects))

    def _definitions(self, objects: Sequence[DatabaseObject]) -> Sequence[Definition]:
        if not objects:
            return ()
        found = read_definitions(self.stage.rehearsal.connection, objects)
        return [found[one.address] for one in objects]

    # -- a domain, which is altered --------------------------------------------------------

    def _alter(self, change: RoutineChange, _waiting: Sequence[RoutineChange]) -> Shipment:
        before = self.stage.objects()
        with _declining(change):
            statements = self._alterations(change)
            with self.stage.rehearsal.savepoint():
                self.stage.run(statements, change.path)
        self._ship(change)
        notes = (
            f"{line}" for line in statements.splitlines() if line.startswith("ALTER DOMAIN")
        )
        ahead = header(change.new, change.path)
        parts = (Copied(ahead), Told(change.new[len(ahead) :]), Written(statements))
        return Shipment((change,), parts, self._undo((change,), before), tuple(notes))

    def _alterations(self, change: RoutineChange) -> str:
        """Return what makes the domain of a file the one that it describes now."""
        old = self._created_by(change)
        if [one.kind for one in old] != [Kind.DOMAIN] or not change.new:
            raise _Declined(None)
        connection = self.stage.rehearsal.connection
        was = read_domain(connection, old[0])
        with self.stage.undone():
            self.stage.command(f"{drop(old[0]).rstrip(';')} CASCADE")
            found = self.stage.create(change.new, change.path)
            same = [key(one) for one in found] == [key(old[0])]
            new = read_domain(connection, found[0]) if same else was
        statements = altered(old[0].identity, was, new) if same else None
        if statements is None:
            raise _Declined(_problem(change, "a domain of another name or type is a new one"))
        return statements + without_creates(change.new, change.path)

    # -- objects that are dropped and created anew ----------------------------------------

    def _replace(self, change: RoutineChange, waiting: Sequence[RoutineChange]) -> Shipment:
        before = self.stage.objects()
        with _declining(change):
            attached = self.stage.attached()
            anew = self._reach((change,), waiting)
            if not anew.drops:
                raise _Declined(None)  # nothing is in its way
            parts, notes = self._parts(anew)
            with self.stage.rehearsal.savepoint():
                self.stage.run(composed(parts), change.path)
                lost = {*self._lost(anew, before), *(attached - self.stage.attached())}
                if lost:
                    names = ", ".join(sorted(lost))
                    raise _Declined(_problem(change, f"{LOST}{names}"))
        self._ship(*anew.changes)
        undo = self._undo(anew.changes, before)
        return Shipment(anew.changes, parts, undo, (*anew.notes, *notes))

    def _lost(self, anew: _Anew, before: Objects) -> Iterator[str]:
        """Yield what is gone that no changed file has created before."""
        there = self.stage.objects()
        gone = (name for name in before if name not in there)
        yield from (name for name in gone if name not in anew.own)

    def _reach(
        self, changes: Sequence[RoutineChange], waiting: Sequence[RoutineChange]
    ) -> _Anew:
        """Find all that has to go, and whose text it then comes back from."""
        reach = _Reach({change.name: change for change in changes})
        if len(changes) == 1:
            reach.drop(*self._in_the_way(changes[0], reach.notes))
        else:
            # They go together because each wants the other's new form.
            reach.drop(*(one for change in changes for one in self._created_by(change)))
        going_on = True
        while going_on:
            addresses = [one.address for one in reach.drops.values()]
            found = read_dependants(self.stage.rehearsal.connection, addresses)
            going_on = self._join(reach, found, waiting)
        drops = self.stage.in_order_of_drops(reach.drops.values())
        changes = tuple(reach.changes.values())
        own = frozenset(key(one) for change in changes for one in self._created_by(change))
        return _Anew(tuple(drops), changes, reach.others, tuple(reach.notes), own)

    def _in_the_way(self, change: RoutineChange, notes: list[str]) -> Sequence[DatabaseObject]:
        """Return the objects that a text cannot replace, or would leave over."""
        old = self._created_by(change)
        if not change.new:
            return old
        try:
            with self.stage.undone():
                left = self._left_over(old, self.stage.create(change.new, change.path))
        except StatementError as error:
            if not old or error.error.sqlstate not in CANNOT_REPLACE:
                raise
            names = ", ".join(one.identity for one in old)
            notes.append(f"{names}: dropped and created anew ({error.error.message})")
            return old
        notes += (f"{one.identity}: dropped, the file no longer creates it" for one in left)
        return left

    def _join(
        self,
        reach: _Reach,
        found: Iterable[Dependant],
        waiting: Sequence[RoutineChange],
    ) -> bool:
        """Add the files that dependants come from; return whether there were any."""
        new = [one for one in found if one.object is None or key(one.object) not in reach.drops]
        foreign = [one for one in new if self._owner(one) is None]
        first = next(iter(reach.changes.values()))
        if foreign or (new and not first.new):
            raise _Declined(_problem(first, _used(foreign or new, self._owner)))
        for name in {str(self._owner(one)): None for one in new}:
            text = self.texts[name]
            reach.drop(*self.stage.created_by(text.text, text.path))
            change = next((one for one in waiting if one.name == name), None)
            reach.join(name, text, change)
        return bool(new)

    def _owner(self, dependant: Dependant) -> str | None:
        """Return the working copy that an object comes from."""
        return None if dependant.object is None else self._owner_of(dependant.object)

    def _owner_of(self, found: DatabaseObject) -> str | None:
        if not self._owners:
            for name, text in self.texts.items():
                with suppress(StatementError):
                    created = self.stage.created_by(text.text, text.path)
                    self._owners.update({key(one): name for one in created})
        return self._owners.get(key(found))

    def _parts(self, anew: _Anew) -> tuple[tuple[Part, ...], Sequence[str]]:
        """Return the text of a revision that drops objects and creates them again, and notes.

        The notes say what does not get back what the database knows of it.
        """
        before = self.stage.objects()
        created = self._fitting(anew, before)
        made = [one for each in created for one in each.objects]
        heirs = tuple(_heirs(anew.drops, made, before))
        new = [one for one in made if key(one) not in before]
        notes = tuple(_unsure(anew.drops, heirs, new))
        ahead = "\n".join(filter(None, [keep(heirs), *map(drop, anew.drops)]))
        several = len(anew.changes) > 1
        parts: list[Part] = []
        for each in created:
            names = {key(one) for one in each.objects}
            back = [give_back(heir) for heir in heirs if key(heir.new) in names]
            parts += _shown(each, ahead, "\n".join([*back, *each.indexes]), several=several)
            ahead = ""
        gone = [Section(c.name, c.version) for c in anew.changes if not c.new and several]
        return ((*parts, *gone) if parts else (Written(ahead), *gone)), notes

    def _fitting(self, anew: _Anew, before: Objects) -> Sequence[_Recreated]:
        """Return the texts as they are run; refused are those that would touch others."""
        created = self._recreated(anew)
        for each in created:
            if each.change is not None:
                self._refuse_shared(each.change, anew.own, each.objects, before)
                if len(created) > 1:
                    refuse_directives(each.text.text, each.text.path)
        return created

    def _recreated(self, anew: _Anew) -> Sequence[_Recreated]:
        """Return the texts in an order in which they run, and what each creates."""
        indexes = {key(one): self.stage.indexes(one) for one in anew.drops}
        items = [(c.name, Text(c.path, c.new), c) for c in anew.changes if c.new]
        others = [(name, text, None) for name, text in anew.others.items()]
        done: list[_Recreated] = []

        def attempt(item: tuple[str, Text, RoutineChange | None]) -> None:
            _, text, change = item
            with self.stage.rehearsal.savepoint():
                created = self.stage.create(text.text, text.path)
            own = _indexes_of(change.old, change.path) if change is not None else frozenset()
            lost = (
                definition
                for one in created
                for definition in indexes.get(key(one), ())
                if definition not in self.stage.indexes(one) and not own & _index(definition)
            )
            done.append(_Recreated(text, tuple(created), change, tuple(lost)))

        with self.stage.undone():
            for one in anew.drops:
                self.stage.command(drop(one))
            order: Order[tuple[str, Text, RoutineChange | None], _Refusal]
            order = try_in_order([*items, *others], attempt, (StatementError, SourceError))
            if order.refused:
                raise order.refused[0][1]
        return done

    # -- the way back ----------------------------------------------------------------------

    def _undo(self, changes: Sequence[RoutineChange], before: Objects) -> str | None:
        """Return what brings the objects back that were there; None: the old snapshot does.

        Raises _Declined where the way back does not lead there.
        """
        back = tuple(replace(one, old=one.new, new=one.old) for one in reversed(changes))
        texts = dict(self.texts)
        with _declining(changes[0]), self.stage.undone():
            undo = self._way_back(back)
            missing = before.keys() ^ self.stage.objects().keys()
        self.texts, self._owners = texts, {}
        if missing:
            names = ", ".join(sorted(missing))
            raise _Declined(_problem(changes[0], f"its downgrade would not end well: {names}"))
        return undo

    def _way_back(self, back: Sequence[RoutineChange]) -> str | None:
        if len(back) == 1:
            with suppress(StatementError, _Declined):
                with self.stage.rehearsal.savepoint():
                    self._simply(back[0], self._created_by(back[0]), keep_old=False)
                plain = back[0].before is not None and back[0].before.plain
                return None if plain else back[0].new
            with suppress(_Declined):
                text = header(back[0].new, back[0].path) + self._alterations(back[0])
                self.stage.run(text, back[0].path)
                return text
        parts, _ = self._parts(_without_directives(self._reach(back, back)))
        text = script(parts)
        self.stage.run(text, back[0].path)
        return text

    def _ship(self, *changes: RoutineChange) -> None:
        for change in changes:
            self.texts[change.name] = Text(change.path, change.new)
        self._owners = {}


_Refusal: TypeAlias = StatementError | SourceError


@dataclass(frozen=True, slots=True)
class _Recreated:
    """A text that is run again, what it creates, and indexes that would be lost."""

    text: Text
    objects: tuple[DatabaseObject, ...]
    change: RoutineChange | None
    indexes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Reach:
    """What has been found so far of all that has to go."""

    changes: dict[str, RoutineChange]
    drops: dict[str, DatabaseObject] = field(default_factory=dict)
    others: dict[str, Text] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def drop(self, *objects: DatabaseObject) -> None:
        """Add objects."""
        self.drops.update({key(one): one for one in objects})

    def join(self, name: str, text: Text, change: RoutineChange | None) -> None:
        """Add the file of a dependant; where it is to be changed too, its new text counts."""
        if name in self.changes or name in self.others:
            return
        if change is not None:
            self.changes[name] = change
            self.notes.append(f"{text.path}: shipped with it, for it depends on it")
        else:
            self.others[name] = text
            told = read_directives(text.text, text.path) != Directives()
            but = "; what its header sets does not hold there" if told else ""
            self.notes.append(f"{text.path}: created again, for it depends on it{but}")


def _moves(changes: Sequence[RoutineChange]) -> Iterator[Shipment]:
    """Yield what says that a file goes by another name now; nothing is run."""
    pairs = moved(changes)
    for change in changes:
        if change.name in pairs:
            gone = pairs[change.name]
            parts = (
                Section(change.name, change.version),
                Told(change.new),
                Section(gone.name, gone.version),
            )
            yield Shipment((change, gone), parts, MOVED, (f"{gone.path}: moved to here",))


def _without_directives(anew: _Anew) -> _Anew:
    """Take directives, which nobody can take out of a snapshot, from texts that share."""
    if len(anew.changes) + len(anew.others) == 1:
        return anew
    changes = (replace(c, new=without_header_directives(c.new)) for c in anew.changes)
    return replace(anew, changes=tuple(changes))


def _unfit(change: RoutineChange) -> Problem | None:
    """Return where a text creates what its downgrade would leave behind."""
    with suppress(SourceError):  # which has its place when the text is tried
        for statement in read_statements(change.new, change.path):
            words = frozenset(statement.words)
            if is_create(statement) and not words & FITTING and head_of(statement) is None:
                said = UNFIT.format(" ".join(statement.words[:2]))
                return Problem(change.path, said, statement.line, statement.column)
    return None


def latest_texts(settings: Settings) -> dict[str, Text]:
    """Return what the latest snapshots say, by the names of their working copies."""
    found = read_snapshots(settings).values()
    return {one.name: Text(shown(settings, one.name), one.text) for one in found if one.text}


def script(parts: Iterable[Part]) -> str:
    """Return the statements of a source alone, without marks."""
    lines = (f"\n{p.sql.strip()}\n" if isinstance(p, Written) else p.text for p in parts)
    return "".join(lines)


def _shown(each: _Recreated, ahead: str, back: str, *, several: bool) -> Sequence[Part]:
    """Return the parts of one text: another file's is wrap's own writing.

    What a changed text says behind its last CREATE has the last word; in one that is only
    run again, what the database knew has.
    """
    text, path = each.text.text, each.text.path
    if each.change is None:
        return (Written("\n".join(filter(None, [ahead, bare(text, path), back]))),)
    own = spliced(text, path, ahead, back)
    return (Section(each.change.name, each.change.version), *own) if several else own


def _indexes_of(text: str, path: str) -> frozenset[str]:
    """Return what the indexes are called that a text creates, and more."""
    made = [s for s in read_statements(text, path) if "INDEX" in s.words[:3]]
    return frozenset(name for statement in made for name in names_in(statement))


def _index(definition: str) -> frozenset[str]:
    match = INDEX.match(definition)
    return frozenset(parts_of(match["name"])) if match else frozenset()


def _heirs(
    drops: Sequence[DatabaseObject], created: Sequence[DatabaseObject], before: Objects
) -> Iterator[Heir]:
    """Yield the dropped objects that something takes the place of.

    It is the one of its identity, else the only new one of its name and family of kinds.
    """
    there = {key(one): one for one in created}
    new = [one for one in created if key(one) not in before]
    for number, old in enumerate(drops, 1):
        same = [one for one in new if _namesakes(one, old)]
        if key(old) in there:
            yield Heir(number, old, there[key(old)])
        elif len(same) == 1:
            yield Heir(number, old, same[0])


def _unsure(
    drops: Iterable[DatabaseObject], heirs: Iterable[Heir], new: Sequence[DatabaseObject]
) -> Iterator[str]:
    """Yield which dropped objects have no heir because there are several to choose from."""
    done = {key(heir.old) for heir in heirs}
    for old in (one for one in drops if key(one) not in done):
        names = ", ".join(one.identity for one in new if _namesakes(one, old))
        if names:
            yield f"{old.identity}: nobody gets its owner, privileges and comment ({names}?)"


def _namesakes(one: DatabaseObject, other: DatabaseObject) -> bool:
    family = next((kinds for kinds in FAMILIES if other.kind in kinds), {other.kind})
    names = (one.schema, one.name, one.relation), (other.schema, other.name, other.relation)
    return one.kind in family and names[0] == names[1]


@contextmanager
def _declining(change: RoutineChange) -> Iterator[None]:
    try:
        yield
    except (StatementError, SourceError) as error:
        raise _Declined(problem_of(error)) from error


def _problem(change: RoutineChange, message: str) -> Problem:
    return Problem(change.path, message)


def _used(found: Sequence[Dependant], owner: Callable[[Dependant], str | None]) -> str:
    names = ", ".join(one.description for one in found)
    if any(owner(one) is None for one in found):
        return (
            f"what it created has to go, and {names} depend on it, which no file among the "
            "routines creates. Change them in a source of their own first"
        )
    return f"it is still used by {names}. Change those files, or remove them too"
