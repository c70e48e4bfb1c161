"""How changed working copies become revisions: each is tried before it is written.

Most texts simply run: ``CREATE OR REPLACE`` takes the place of what was there.  Where the
server refuses that, or where something would be left over, the old objects are dropped
and created anew, with those that depend on them, if the project has their texts too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Problem
from alembic_pgpipe.objects.definitions import Definition
from alembic_pgpipe.objects.heads import head_of
from alembic_pgpipe.objects.held import DatabaseObject, key
from alembic_pgpipe.routines.composed import (
    Copied,
    Section,
    Told,
    Written,
    composed,
    header,
    is_create,
)
from alembic_pgpipe.routines.copies import PARTS_OF, names_in
from alembic_pgpipe.routines.working import RoutineChange, moved
from alembic_pgpipe.shipping.anew import Anew, Rebuilding
from alembic_pgpipe.shipping.domains import alterations
from alembic_pgpipe.shipping.mentions import behind_what_they_mention
from alembic_pgpipe.shipping.shipment import Declined, Plan, Shipment, declining, problem
from alembic_pgpipe.shipping.stage import Held, Stage
from alembic_pgpipe.shipping.taken_out import taken_out
from alembic_pgpipe.shipping.texts import Texts
from alembic_pgpipe.shipping.way_back import WayBack
from alembic_pgpipe.source.reader import Statement, read_statements

LOST = "what it created has to go, and with it what no file here creates again: "
ITS_DROP = "its own DROP takes along what this file does not create again: "
# Parts of an object of ours, what ends with the session, and what can be run twice.
FITTING = PARTS_OF | {"TEMP", "TEMPORARY", "IF"}
ROW_SECURITY = frozenset({"row", "level", "security"})
UNFIT = (
    "{} makes no routine, view or the like, and a downgrade would leave it behind: put it into "
    "a source of its own, which comes ahead"
)
GONE_BEFORE = "the file is gone, and what it created was gone before"
MOVED = "-- The file was moved, and nothing else.\n"

Way: TypeAlias = Callable[[RoutineChange, Sequence[RoutineChange]], Shipment]
# What is not shipped yet, in the order to try it in, and what was said against it last.
Waiting: TypeAlias = dict[RoutineChange, Problem | None]


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

    @property
    def _way_back(self) -> WayBack:
        return WayBack(self.stage, self.texts)

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
                yield self._with_what_stays(shipment)

    def _with_what_stays(self, shipment: Shipment) -> Shipment:
        """Add notes on what the old texts gave and said, the new ones do not, and stays."""
        stays = (note for one in shipment.changes for note in taken_out(self.stage, one))
        return replace(shipment, notes=(*shipment.notes, *stays))

    # -- a text that simply runs ---------------------------------------------------------

    def _run(self, change: RoutineChange, _waiting: Sequence[RoutineChange]) -> Shipment:
        before = self.stage.held()
        taken = self._taken_over(change, before)
        with declining(), self.stage.rehearsal.savepoint():
            old = self.texts.created_by(change)
            was = self.stage.definitions(old)
            with self._nothing_lost(change, old):
                created, left = self.texts.run(change, old, keep_old=self.keep_old)
            self.texts.refuse_shared(change, set(map(key, old)), created, before.objects)
        self.texts.ship(change)
        if change.old and not left:
            undo = self._way_back.undo((change,), before, was)
        else:
            undo = self._way_back.given_back(change, created, taken, before)
        notes = (f"{one.identity} stays beside it" for one in left)
        return Shipment((change,), (Copied(change.new),), undo, tuple(notes))

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

    def _taken_over(self, change: RoutineChange, before: Held) -> Sequence[Definition]:
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
        return self.stage.definitions(taken)

    # -- a domain, which is altered --------------------------------------------------------

    def _alter(self, change: RoutineChange, _waiting: Sequence[RoutineChange]) -> Shipment:
        before = self.stage.held()
        with declining():
            statements = alterations(self.texts, change)
            with self.stage.rehearsal.savepoint():
                self.stage.run(statements, change.path)
        self.texts.ship(change)
        notes = (
            f"{line}" for line in statements.splitlines() if line.startswith("ALTER DOMAIN")
        )
        ahead = header(change.new, change.path)
        parts = (Copied(ahead), Told(change.new[len(ahead) :]), Written(statements))
        return Shipment((change,), parts, self._way_back.undo((change,), before), tuple(notes))

    # -- objects that are dropped and created anew ----------------------------------------

    def _replace(self, change: RoutineChange, waiting: Sequence[RoutineChange]) -> Shipment:
        before = self.stage.held()
        with declining():
            anew = self._rebuilding.reach((change,), waiting)
            if not anew.drops:
                return self._with_nothing_to_drop(change)
            parts, notes = self._rebuilding.parts(anew)
            defined = tuple(reversed(self.stage.definitions(anew.drops)))
            with self.stage.rehearsal.savepoint():
                self.stage.run(composed(parts), change.path)
                if lost := set(self._lost(anew, before)):
                    names = ", ".join(sorted(lost))
                    raise Declined(problem(change, f"{LOST}{names}"))
        self.texts.ship(*anew.changes)
        undo = self._way_back.undo(anew.changes, before, defined=defined)
        return Shipment(anew.changes, parts, undo, tuple(notes))

    def _with_nothing_to_drop(self, change: RoutineChange) -> Shipment:
        if change.new:
            raise Declined(None)  # nothing is in its way
        self.texts.ship(change)
        said = f"-- {GONE_BEFORE}"
        return Shipment((change,), (Written(said),), f"{said}\n", (GONE_BEFORE,))

    def _lost(self, anew: Anew, before: Held) -> Iterator[str]:
        """Yield what is gone that no changed file has created before."""
        now = self.stage.held()
        yield from before.objects.keys() - now.objects.keys() - anew.own
        yield from before.attached.keys() - now.attached.keys()


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
