"""How changed working copies become revisions: each is tried before it is written.

Most texts simply run: ``CREATE OR REPLACE`` takes the place of what was there.  Where the
server refuses that, or where something would be left over, the old objects are dropped
and created anew, with those that depend on them, if the project has their texts too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Problem
from alembic_pgpipe.routines.anew import Anew, Rebuilding, script, without_directives
from alembic_pgpipe.routines.baseline import ROUTINES, UNREAD
from alembic_pgpipe.routines.catalog import DatabaseObject, Kind, key
from alembic_pgpipe.routines.composed import (
    Copied,
    Section,
    Told,
    Written,
    composed,
    followed,
    header,
    is_create,
    without_domain,
)
from alembic_pgpipe.routines.copies import PARTS_OF, names_in
from alembic_pgpipe.routines.definitions import Definition, read_definitions, taken_back
from alembic_pgpipe.routines.domains import altered, read_domain
from alembic_pgpipe.routines.guard import guard
from alembic_pgpipe.routines.heads import head_of
from alembic_pgpipe.routines.kept import drop, give_back, heirs_of, keep
from alembic_pgpipe.routines.mentions import behind_what_they_mention
from alembic_pgpipe.routines.shipment import Declined, Plan, Shipment, declining, problem
from alembic_pgpipe.routines.stage import Stage
from alembic_pgpipe.routines.texts import Objects, Texts
from alembic_pgpipe.routines.working import RoutineChange, moved
from alembic_pgpipe.run.server_errors import StatementError
from alembic_pgpipe.source import Statement, read_statements

LOST = "what it created has to go, and with it what no file here creates again: "
ITS_DROP = "its own DROP takes along what this file does not create again: "
# Parts of an object of ours, what ends with the session, and what can be run twice.
FITTING = PARTS_OF | {"TEMP", "TEMPORARY", "IF"}
ROW_SECURITY = frozenset({"row", "level", "security"})
UNFIT = (
    "{} makes no routine, view or the like, and a downgrade would leave it behind: put it into "
    "a source of its own, which comes ahead"
)
NO_WAY_BACK = "its downgrade would not end well: "
GONE_BEFORE = "the file is gone, and what it created was gone before"
MOVED = "-- The file was moved, and nothing else.\n"

Way: TypeAlias = Callable[[RoutineChange, Sequence[RoutineChange]], Shipment]
# What is not shipped yet, in the order to try it in, and what was said against it last.
Waiting: TypeAlias = dict[RoutineChange, Problem | None]


@dataclass(frozen=True, slots=True)
class Before:
    """What the stage held before a change: objects, and what hangs on views."""

    objects: Objects
    attached: Mapping[str, str]


@dataclass(slots=True)
class Shipping:
    """Plans revisions on a stage; ``texts`` are what the snapshots say by now.

    With ``keep_old``, what a changed text no longer creates is left where it is.
    """

    stage: Stage
    texts: Texts
    keep_old: bool = False

    @property
    def _rebuilding(self) -> Rebuilding:
        return Rebuilding(self.stage, self.texts)

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
        self.texts.ship(*settled)
        unfit = {change: why for change in changes if (why := _unfit(change))}
        rest = [change for change in changes if change not in {*settled, *unfit}]
        waiting: Waiting = dict.fromkeys(behind_what_they_mention(rest))
        for shipment in self._shipments(waiting):
            shipments.append(shipment)
            shipped(shipment)
        refused = (why for change in rest if (why := waiting.get(change)))
        return Plan(tuple(shipments), (*unfit.values(), *refused))

    def _shipments(self, waiting: Waiting) -> Iterator[Shipment]:
        """Yield those that simply run; where none does, those that need more, and again."""
        before = -1
        while len(waiting) != before:
            before = len(waiting)
            for way in (self._run, self._alter, self._replace):
                yield from self._shipped(way, waiting)
                if len(waiting) < before:
                    break

    def _shipped(self, way: Way, waiting: Waiting) -> Iterator[Shipment]:
        """Try each change in one way; yield, and let wait no more, what goes through."""
        for change in tuple(waiting):
            # Another may have taken it along, and a new file has nothing to replace.
            if change not in waiting or (way != self._run and not change.old):
                continue
            try:
                shipment = way(change, tuple(waiting))
            except Declined as error:
                waiting[change] = error.problem or waiting[change]
            else:
                for one in shipment.changes:
                    del waiting[one]
                yield shipment

    # -- a text that simply runs ---------------------------------------------------------

    def _run(self, change: RoutineChange, _waiting: Sequence[RoutineChange]) -> Shipment:
        before = self._now()
        taken = self._taken_over(change, before)
        with declining(), self.stage.rehearsal.savepoint():
            old = self.texts.created_by(change)
            was = self._definitions(old)
            with self._nothing_lost(change, old):
                created, left = self._simply(change, old, keep_old=self.keep_old)
            self.texts.refuse_shared(change, set(map(key, old)), created, before.objects)
        self.texts.ship(change)
        if change.old and not left:
            undo = self._undo((change,), before, was)
        else:
            undo = self._given_back(change, created, taken, before)
        notes = (f"{one.identity} stays beside it" for one in left)
        return Shipment((change,), (Copied(change.new),), undo, tuple(notes))

    def _simply(
        self, change: RoutineChange, old: Sequence[DatabaseObject], *, keep_old: bool
    ) -> tuple[Sequence[DatabaseObject], Sequence[DatabaseObject]]:
        """Run a text; return what it creates, and what it no longer does."""
        if not change.new:
            raise Declined(problem(change, "this file is gone"))
        created = self.stage.create(change.new, change.path)
        left = self.texts.left_over(old, created)
        if left and not keep_old:
            names = ", ".join(one.identity for one in left)
            raise Declined(problem(change, f"{names} would be left over"))
        return created, left

    @contextmanager
    def _nothing_lost(
        self, change: RoutineChange, own: Iterable[DatabaseObject]
    ) -> Iterator[None]:
        """Decline a text that takes along, with a DROP of its own, what is not its own."""
        if not _drops(change):
            yield
            return
        before = self._others(own)
        yield
        if lost := before - self._others(own):
            raise Declined(problem(change, f"{ITS_DROP}{', '.join(sorted(lost))}"))

    def _others(self, own: Iterable[DatabaseObject]) -> frozenset[str]:
        others = self.stage.objects().keys() - set(map(key, own))
        return frozenset({*others, *self.stage.attached(), *self.stage.parts_of_tables()})

    def _taken_over(self, change: RoutineChange, before: Before) -> Sequence[Definition]:
        """Return how objects are defined that a file may take over and must give back."""
        if change.old and not self.keep_old:
            return ()
        with declining():
            with self.stage.undone():
                # First as it is: an error then has the place that it has in the file.
                created = self.stage.create(change.new, change.path)
            if not (before.objects.keys() & set(map(key, created)) or _may_pass_over(change)):
                return ()
            taken = self.stage.created_by(change.new, change.path)
        return self._definitions(taken)

    def _dropped(self, objects: Iterable[DatabaseObject]) -> str:
        return "".join(f"{drop(one)}\n" for one in self.stage.in_order_of_drops(objects))

    def _definitions(self, objects: Sequence[DatabaseObject]) -> Sequence[Definition]:
        if not objects:
            return ()
        found = read_definitions(self.stage.rehearsal.connection, objects)
        return [found[one.address] for one in objects]

    # -- a domain, which is altered --------------------------------------------------------

    def _alter(self, change: RoutineChange, _waiting: Sequence[RoutineChange]) -> Shipment:
        before = self._now()
        with declining():
            statements = self._alterations(change)
            with self.stage.rehearsal.savepoint():
                self.stage.run(statements, change.path)
        self.texts.ship(change)
        notes = (
            f"{line}" for line in statements.splitlines() if line.startswith("ALTER DOMAIN")
        )
        ahead = header(change.new, change.path)
        parts = (Copied(ahead), Told(change.new[len(ahead) :]), Written(statements))
        return Shipment((change,), parts, self._undo((change,), before), tuple(notes))

    def _alterations(self, change: RoutineChange) -> str:
        """Return what makes the domain of a file the one that it describes now."""
        old = self.texts.created_by(change)
        if [one.kind for one in old] != [Kind.DOMAIN] or not change.new:
            raise Declined(None)
        connection = self.stage.rehearsal.connection
        was = read_domain(connection, old[0])
        with self.stage.undone():
            self.stage.command(f"{drop(old[0]).rstrip(';')} CASCADE")
            found = self.stage.create(change.new, change.path)
            same = [key(one) for one in found] == [key(old[0])]
            new = read_domain(connection, found[0]) if same else was
        statements = altered(old[0].identity, was, new) if same else None
        if statements is None:
            raise Declined(problem(change, "a domain of another name or type is a new one"))
        return statements + without_domain(change.new, change.path)

    # -- objects that are dropped and created anew ----------------------------------------

    def _replace(self, change: RoutineChange, waiting: Sequence[RoutineChange]) -> Shipment:
        before = self._now()
        with declining():
            anew = self._rebuilding.reach((change,), waiting)
            if not anew.drops:
                return self._with_nothing_to_drop(change)
            parts, notes = self._rebuilding.parts(anew)
            defined = tuple(reversed(self._definitions(anew.drops)))
            with self.stage.rehearsal.savepoint():
                self.stage.run(composed(parts), change.path)
                if lost := set(self._lost(anew, before)):
                    names = ", ".join(sorted(lost))
                    raise Declined(problem(change, f"{LOST}{names}"))
        self.texts.ship(*anew.changes)
        undo = self._undo(anew.changes, before, defined=defined)
        return Shipment(anew.changes, parts, undo, tuple(notes))

    def _with_nothing_to_drop(self, change: RoutineChange) -> Shipment:
        if change.new:
            raise Declined(None)  # nothing is in its way
        self.texts.ship(change)
        said = f"-- {GONE_BEFORE}"
        return Shipment((change,), (Written(said),), f"{said}\n", (GONE_BEFORE,))

    def _lost(self, anew: Anew, before: Before) -> Iterator[str]:
        """Yield what is gone that no changed file has created before."""
        now = self._now()
        yield from before.objects.keys() - now.objects.keys() - anew.own
        yield from before.attached.keys() - now.attached.keys()

    def _now(self) -> Before:
        return Before(self.stage.objects(), self.stage.attached())

    # -- the way back ----------------------------------------------------------------------

    def _undo(
        self,
        changes: Sequence[RoutineChange],
        before: Before,
        was: Sequence[Definition] = (),
        defined: Sequence[Definition] = (),
    ) -> str | None:
        """Return what brings the objects back that were there; None: the old snapshot does.

        ``was`` is how those were that are not dropped on the way, ``defined`` how those were
        that are.  Raises Declined where the way back does not lead there.
        """
        back = tuple(replace(one, old=one.new, new=one.old) for one in reversed(changes))
        with declining(), self.texts.undone():
            undo = self._way_back(back, defined or was)
            left = self._left_behind(was, before)
            missing = before.objects.keys() ^ self.stage.objects().keys()
        if missing:
            names = ", ".join(sorted(missing))
            raise Declined(problem(changes[0], f"{NO_WAY_BACK}{names}"))
        return followed(changes[0].old if undo is None else undo, left) if left else undo

    def _left_behind(self, was: Sequence[Definition], before: Before) -> str:
        """Return what takes back what a new text has given besides what it creates."""
        attached = self.stage.attached().items()
        new = (f"{undo};\n" for what, undo in attached if what not in before.attached)
        if not was:
            return "".join(new)
        there = self.stage.objects()
        old = {key(one.object): one for one in was if key(one.object) in there}
        now = self._definitions([there[name] for name in old])
        user = self.stage.user()
        back = (s for one in now for s in taken_back(one, old[key(one.object)], user))
        return "".join([*new, *back])

    def _given_back(
        self,
        change: RoutineChange,
        created: Iterable[DatabaseObject],
        taken: Sequence[Definition],
        before: Before,
    ) -> str:
        """Return what makes objects those again that a file has taken over, and drops others.

        Raises Declined where that cannot be done.
        """
        with self.texts.undone():
            try:
                text = self._by_definitions(created, taken, change.path)
            except StatementError as error:
                # Its place is in the undo, which nobody has seen yet.
                said = error.error
                why = " ".join(filter(None, (said.message, said.detail)))
                raise Declined(problem(change, f"{NO_WAY_BACK}{why}")) from error
            return text + self._left_behind(taken, before)

    def _way_back(self, back: Sequence[RoutineChange], was: Sequence[Definition]) -> str | None:
        try:
            return self._by_texts(back)
        except (StatementError, Declined):
            if not was:
                raise
        # What the old text names may be called otherwise by now, which the server knows.
        made = [one for change in back for one in self.texts.created_by(change)]
        return self._by_definitions(made, was, back[0].path)

    def _by_definitions(
        self, made: Iterable[DatabaseObject], was: Sequence[Definition], path: str
    ) -> str:
        """Run, and return, what makes objects what they were, in the server's words.

        They are replaced where it allows that, so that what depends on them may stay.
        """
        old = {key(one.object) for one in was}
        made = tuple(made)
        new = [one for one in made if key(one) not in old]
        with suppress(StatementError):
            text = self._dropped(new) + _creates(was)
            self.stage.run(text, path)
            return text
        text = self._dropped_and_created(made, was)
        self.stage.run(text, path)
        return text

    def _dropped_and_created(
        self, made: Iterable[DatabaseObject], was: Sequence[Definition]
    ) -> str:
        there = self.stage.objects()
        names = {*map(key, made), *(key(one.object) for one in was)}
        drops = self.stage.in_order_of_drops(there[name] for name in names & there.keys())
        heirs = tuple(heirs_of(drops, [one.object for one in was], there))
        back = map(give_back, heirs)
        guarded = guard(self.stage.rehearsal.connection, drops)
        return "\n".join([guarded, keep(heirs), *map(drop, drops), _creates(was), *back, ""])

    def _by_texts(self, back: Sequence[RoutineChange]) -> str | None:
        if len(back) == 1:
            with suppress(StatementError, Declined):
                with self.stage.rehearsal.savepoint():
                    self._simply(back[0], self.texts.created_by(back[0]), keep_old=False)
                plain = back[0].before is not None and back[0].before.plain
                return None if plain else back[0].new
            with suppress(Declined):
                text = header(back[0].new, back[0].path) + self._alterations(back[0])
                self.stage.run(text, back[0].path)
                return text
        parts, _ = self._rebuilding.parts(
            without_directives(self._rebuilding.reach(back, back))
        )
        text = script(parts)
        self.stage.run(text, back[0].path)
        return text


def _creates(definitions: Sequence[Definition]) -> str:
    """Return what creates objects, also where a routine names what is there no more."""
    unread = UNREAD if any(one.object.kind in ROUTINES for one in definitions) else ""
    return unread + "".join(one.create for one in definitions)


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


def _drops(change: RoutineChange) -> bool:
    statements = read_statements(change.new, change.path)
    return any({"drop", "cascade"} & names_in(statement) for statement in statements)


def _may_pass_over(change: RoutineChange) -> bool:
    """Tell whether a text creates something only IF NOT EXISTS."""
    statements = read_statements(change.new, change.path)
    return any(is_create(statement) and "IF" in statement.words for statement in statements)


def _unfit(change: RoutineChange) -> Problem | None:
    """Return where a text creates what its downgrade would leave behind."""
    with suppress(SourceError):  # which has its place when the text is tried
        for statement in read_statements(change.new, change.path):
            if _stays_behind(statement):
                said = UNFIT.format(" ".join(statement.words[:2]))
                return Problem(change.path, said, statement.line, statement.column)
    return None


def _stays_behind(statement: Statement) -> bool:
    if is_create(statement):
        return not FITTING & set(statement.words) and head_of(statement) is None
    # Without the policies that were to follow, it hides all rows from everybody.
    alters = statement.words[:2] == ("ALTER", "TABLE")
    return alters and names_in(statement) >= ROW_SECURITY
