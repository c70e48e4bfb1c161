"""Objects that cannot be replaced: what has to go with them, and how all comes back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.objects.dependencies import Dependant, read_dependants
from alembic_pgpipe.objects.held import DatabaseObject, key
from alembic_pgpipe.routines.composed import (
    Part,
    Section,
    Written,
    bare,
    refuse_directives,
    spliced,
)
from alembic_pgpipe.routines.copies import names_in
from alembic_pgpipe.routines.working import RoutineChange
from alembic_pgpipe.sending.server_errors import StatementError
from alembic_pgpipe.shipping.guard import guard
from alembic_pgpipe.shipping.kept import drop, give_back, heirs_of, keep, without_heirs
from alembic_pgpipe.shipping.shipment import Declined, problem
from alembic_pgpipe.shipping.stage import CANNOT_REPLACE, Stage
from alembic_pgpipe.shipping.texts import Objects, Text, Texts
from alembic_pgpipe.shipping.trying import Order, try_in_order
from alembic_pgpipe.source.directives import (
    Directives,
    read_directives,
    without_header_directives,
)
from alembic_pgpipe.source.names import parts as parts_of
from alembic_pgpipe.source.reader import read_statements

INDEX = re.compile(r'CREATE (?:UNIQUE )?INDEX (?P<name>"(?:[^"]|"")+"|\S+) ON ')

_Refusal: TypeAlias = StatementError | SourceError


@dataclass(frozen=True, slots=True)
class Anew:
    """What is dropped, and which texts then create it again, changed ones first.

    ``own`` is what the changed files have created so far, by kind and identity.  Of the
    drops, ``refused`` are those that the server did not let be replaced: ``why``.
    """

    drops: tuple[DatabaseObject, ...]
    changes: tuple[RoutineChange, ...]
    others: Mapping[str, Text]
    notes: tuple[str, ...]
    own: frozenset[str]
    refused: tuple[DatabaseObject, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """What has been found so far of all that has to go."""

    changes: dict[str, RoutineChange]
    drops: dict[str, DatabaseObject] = field(default_factory=dict)
    others: dict[str, Text] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    refused: list[DatabaseObject] = field(default_factory=list)
    why: list[str] = field(default_factory=list)

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


@dataclass(frozen=True, slots=True)
class Recreated:
    """A text that is run again, what it creates, and indexes that would be lost."""

    text: Text
    objects: tuple[DatabaseObject, ...]
    change: RoutineChange | None
    indexes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """Finds what has to go on a stage, and puts together how it comes back."""

    stage: Stage
    texts: Texts

    def reach(self, changes: Sequence[RoutineChange], waiting: Sequence[RoutineChange]) -> Anew:
        """Find all that has to go, and whose text it then comes back from."""
        reach = Reach({change.name: change for change in changes})
        if len(changes) == 1:
            reach.drop(*self._in_the_way(changes[0], reach))
        else:
            # They go together because each wants the other's new form.
            reach.drop(*(one for change in changes for one in self.texts.created_by(change)))
        going_on = True
        while going_on:
            addresses = [one.address for one in reach.drops.values()]
            found = read_dependants(self.stage.rehearsal.connection, addresses)
            going_on = self._join(reach, found, waiting)
        drops = self.stage.in_order_of_drops(reach.drops.values())
        changes = tuple(reach.changes.values())
        own = frozenset(key(one) for change in changes for one in self.texts.created_by(change))
        return Anew(
            tuple(drops),
            changes,
            reach.others,
            tuple(reach.notes),
            own,
            tuple(reach.refused),
            "".join(reach.why),
        )

    def _in_the_way(self, change: RoutineChange, reach: Reach) -> Sequence[DatabaseObject]:
        """Return the objects that a text cannot replace, or would leave over."""
        old = self.texts.created_by(change)
        if not change.new:
            reach.notes.extend(f"{one.identity}: dropped, its file is gone" for one in old)
            return old
        try:
            with self.stage.undone():
                left = self.texts.left_over(old, self.stage.create(change.new, change.path))
        except StatementError as error:
            if not old or error.error.sqlstate not in CANNOT_REPLACE:
                raise
            reach.refused.extend(old)
            reach.why.append(error.error.message)
            return old
        # What is created IF NOT EXISTS is among them, and comes back.
        reach.refused.extend(left)
        reach.why.append("it is there already")
        return left

    def _join(
        self,
        reach: Reach,
        found: Iterable[Dependant],
        waiting: Sequence[RoutineChange],
    ) -> bool:
        """Add the files that dependants come from; return whether there were any."""
        new = [one for one in found if one.object is None or key(one.object) not in reach.drops]
        foreign = [one for one in new if self.texts.owner_of_dependant(one) is None]
        first = next(iter(reach.changes.values()))
        if foreign or (new and not first.new):
            raise Declined(problem(first, _used(foreign or new, self.texts.owner_of_dependant)))
        for name in {str(self.texts.owner_of_dependant(one)): None for one in new}:
            text = self.texts.latest[name]
            reach.drop(*self.stage.created_by(text.text, text.path))
            change = next((one for one in waiting if one.name == name), None)
            reach.join(name, text, change)
        return bool(new)

    def parts(self, anew: Anew) -> tuple[tuple[Part, ...], Sequence[str]]:
        """Return the text of a revision that drops objects and creates them again, and notes.

        Those of ``anew`` are among the notes, and what does not come back, or does not get
        back what the database knows of it.
        """
        before = self.stage.objects()
        created = self._fitting(anew, before)
        made = [one for each in created for one in each.objects]
        heirs = tuple(heirs_of(anew.drops, made, before))
        new = [one for one in made if key(one) not in before]
        notes = (*_fates(anew, made), *anew.notes, *without_heirs(anew.drops, heirs, new))
        guarded = guard(self.stage.rehearsal.connection, anew.drops, self.texts.name_schema_of)
        ahead = "\n".join(filter(None, [guarded, keep(heirs), *map(drop, anew.drops)]))
        several = len(anew.changes) > 1
        parts: list[Part] = []
        for each in created:
            names = {key(one) for one in each.objects}
            back = [give_back(heir) for heir in heirs if key(heir.new) in names]
            parts += _shown(each, ahead, "\n".join([*back, *each.indexes]), several=several)
            ahead = ""
        gone = [Section(c.name, c.version) for c in anew.changes if not c.new and several]
        return ((*parts, *gone) if parts else (Written(ahead), *gone)), notes

    def _fitting(self, anew: Anew, before: Objects) -> Sequence[Recreated]:
        """Return the texts as they are run; refused are those that would touch others."""
        created = self._recreated(anew)
        for each in created:
            if each.change is not None:
                self.texts.refuse_shared(each.change, anew.own, each.objects, before)
                if len(created) > 1:
                    refuse_directives(each.text.text, each.text.path)
        return created

    def _recreated(self, anew: Anew) -> Sequence[Recreated]:
        """Return the texts in an order in which they run, and what each creates."""
        indexes = {key(one): self.stage.indexes(one) for one in anew.drops}
        items = [(c.name, Text(c.path, c.new), c) for c in anew.changes if c.new]
        others = [(name, text, None) for name, text in anew.others.items()]
        done: list[Recreated] = []

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
            done.append(Recreated(text, tuple(created), change, tuple(lost)))

        with self.stage.undone():
            for one in anew.drops:
                self.stage.command(drop(one))
            order: Order[tuple[str, Text, RoutineChange | None], _Refusal]
            order = try_in_order([*items, *others], attempt, (StatementError, SourceError))
            if order.refused:
                raise order.refused[0][1]
        return done


def without_directives(anew: Anew) -> Anew:
    """Take directives, which nobody can take out of a snapshot, from texts that share."""
    if len(anew.changes) + len(anew.others) == 1:
        return anew
    changes = (replace(c, new=without_header_directives(c.new)) for c in anew.changes)
    return replace(anew, changes=tuple(changes))


def script(parts: Iterable[Part]) -> str:
    """Return the statements of a source alone, without marks."""
    lines = (f"\n{p.sql.strip()}\n" if isinstance(p, Written) else p.text for p in parts)
    return "".join(lines)


def _shown(each: Recreated, ahead: str, back: str, *, several: bool) -> Sequence[Part]:
    """Return the parts of one text: another file's is wrap's own writing.

    What a changed text says behind its last CREATE has the last word; in one that is only
    run again, what the database knew has.
    """
    text, path = each.text.text, each.text.path
    if each.change is None:
        return (Written("\n".join(filter(None, [ahead, bare(text, path), back]))),)
    own = spliced(text, path, ahead, back)
    return (Section(each.change.name, each.change.version), *own) if several else own


def _fates(anew: Anew, made: Iterable[DatabaseObject]) -> Iterator[str]:
    """Yield what becomes of the objects that the server did not let be replaced."""
    there = {one.identity for one in made}
    again = [one.identity for one in anew.refused if one.identity in there]
    if again:
        yield f"{', '.join(again)}: dropped and created anew ({anew.why})"
    yield from (_dropped(one) for one in anew.refused if one.identity not in there)


def _dropped(one: DatabaseObject) -> str:
    return f"{one.identity}: dropped, the file no longer creates it"


def _indexes_of(text: str, path: str) -> frozenset[str]:
    """Return what the indexes are called that a text creates, and more."""
    made = [s for s in read_statements(text, path) if "INDEX" in s.words[:3]]
    return frozenset(name for statement in made for name in names_in(statement))


def _index(definition: str) -> frozenset[str]:
    match = INDEX.match(definition)
    return frozenset(parts_of(match["name"])) if match else frozenset()


def _used(found: Sequence[Dependant], owner: Callable[[Dependant], str | None]) -> str:
    names = ", ".join(one.description for one in found)
    if any(owner(one) is None for one in found):
        return (
            f"what it created has to go, and {names} depend on it, which no file among the "
            "routines creates. Change them in a source of their own first"
        )
    return f"it is still used by {names}. Change those files, or remove them too"
