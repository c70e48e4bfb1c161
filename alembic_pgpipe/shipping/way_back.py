"""The way back of a change: what its downgrade runs, tried before it is written.

The texts that were there before are run again where they can be.  Else the server's own
words of the objects do, as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from alembic_pgpipe.objects.definitions import Definition, taken_back
from alembic_pgpipe.objects.held import ROUTINES, DatabaseObject, key
from alembic_pgpipe.routines.baseline import UNREAD
from alembic_pgpipe.routines.composed import followed, header
from alembic_pgpipe.routines.working import RoutineChange
from alembic_pgpipe.sending.server_errors import StatementError
from alembic_pgpipe.shipping.anew import Rebuilding, script, without_directives
from alembic_pgpipe.shipping.domains import alterations
from alembic_pgpipe.shipping.guard import astray, guard
from alembic_pgpipe.shipping.kept import drop, give_back, heirs_of, keep
from alembic_pgpipe.shipping.shipment import Declined, declining, problem
from alembic_pgpipe.shipping.stage import Held, Stage
from alembic_pgpipe.shipping.texts import Texts

NO_WAY_BACK = "its downgrade would not end well: "


@dataclass(frozen=True, slots=True)
class WayBack:
    """Finds the way back of what has just run on a stage."""

    stage: Stage
    texts: Texts

    def undo(
        self,
        changes: Sequence[RoutineChange],
        before: Held,
        was: Sequence[Definition] = (),
        defined: Sequence[Definition] = (),
    ) -> str | None:
        """Return what brings the objects back that were there; None: the old snapshot does.

        ``was`` is how those were that are not dropped on the way, ``defined`` how those were
        that are.  Raises Declined where the way back does not lead there.
        """
        back = tuple(replace(one, old=one.new, new=one.old) for one in reversed(changes))
        with declining(), self.texts.undone():
            undo = self._there(back, defined or was)
            left = self._left_behind(was, before)
            missing = before.objects.keys() ^ self.stage.objects().keys()
        if missing:
            names = ", ".join(sorted(missing))
            raise Declined(problem(changes[0], f"{NO_WAY_BACK}{names}"))
        return followed(changes[0].old if undo is None else undo, left) if left else undo

    def given_back(
        self,
        change: RoutineChange,
        created: Iterable[DatabaseObject],
        taken: Sequence[Definition],
        before: Held,
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

    def _left_behind(self, was: Sequence[Definition], before: Held) -> str:
        """Return what takes back what a new text has given besides what it creates."""
        attached = self.stage.attached().items()
        new = (f"{undo};\n" for what, undo in attached if what not in before.attached)
        if not was:
            return "".join(new)
        there = self.stage.objects()
        old = {key(one.object): one for one in was if key(one.object) in there}
        now = self.stage.definitions([there[name] for name in old])
        user = self.stage.user()
        back = (s for one in now for s in taken_back(one, old[key(one.object)], user))
        return "".join([*new, *back])

    def _there(self, back: Sequence[RoutineChange], was: Sequence[Definition]) -> str | None:
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
            text = self._drops(new) + _creates(was)
            self.stage.run(text, path)
            return text
        text = self._dropped_and_created(made, was)
        self.stage.run(text, path)
        return text

    def _drops(self, objects: Iterable[DatabaseObject]) -> str:
        drops = self.stage.in_order_of_drops(objects)
        guarded = astray(self.stage.rehearsal.connection, drops, self.texts.name_schema_of)
        return "".join(f"{line}\n" for line in (guarded, *map(drop, drops)) if line)

    def _dropped_and_created(
        self, made: Iterable[DatabaseObject], was: Sequence[Definition]
    ) -> str:
        there = self.stage.objects()
        names = {*map(key, made), *(key(one.object) for one in was)}
        drops = self.stage.in_order_of_drops(there[name] for name in names & there.keys())
        heirs = tuple(heirs_of(drops, [one.object for one in was], there))
        back = map(give_back, heirs)
        guarded = guard(self.stage.rehearsal.connection, drops, self.texts.name_schema_of)
        return "\n".join([guarded, keep(heirs), *map(drop, drops), _creates(was), *back, ""])

    def _by_texts(self, back: Sequence[RoutineChange]) -> str | None:
        if len(back) == 1:
            with suppress(StatementError, Declined):
                with self.stage.rehearsal.savepoint():
                    self.texts.run(back[0], self.texts.created_by(back[0]), keep_old=False)
                plain = back[0].before is not None and back[0].before.plain
                return None if plain else back[0].new
            with suppress(Declined):
                text = header(back[0].new, back[0].path) + alterations(self.texts, back[0])
                self.stage.run(text, back[0].path)
                return text
        rebuilding = Rebuilding(self.stage, self.texts)
        parts, _ = rebuilding.parts(without_directives(rebuilding.reach(back, back)))
        text = script(parts)
        self.stage.run(text, back[0].path)
        return text


def _creates(definitions: Sequence[Definition]) -> str:
    """Return what creates objects, also where a routine names what is there no more."""
    unread = UNREAD if any(one.object.kind in ROUTINES for one in definitions) else ""
    return unread + "".join(one.create for one in definitions)
