"""What the working copies say by now, and which of them an object comes from."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from alembic_pgpipe.objects.dependencies import Dependant
from alembic_pgpipe.objects.heads import Head, heads
from alembic_pgpipe.objects.held import DatabaseObject, key
from alembic_pgpipe.routines.working import RoutineChange, read_snapshots, shown
from alembic_pgpipe.sending.server_errors import StatementError
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.shipping.shipment import Declined, problem
from alembic_pgpipe.shipping.stage import Stage
from alembic_pgpipe.source.reader import read_statements

PATH = "SEARCH_PATH"

Objects = Mapping[str, DatabaseObject]


@dataclass(frozen=True, slots=True)
class Text:
    """What a working copy says, and the path that people know it by."""

    path: str
    text: str


@dataclass(slots=True)
class Texts:
    """The latest text of each working copy, by its name, on a stage that has run them."""

    stage: Stage
    latest: dict[str, Text]
    _owners: dict[str, str] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)
    _heads: dict[Text, tuple[Head, ...]] = field(default_factory=dict)

    def ship(self, *changes: RoutineChange) -> None:
        """Let changes have run: their new texts are the latest."""
        for change in changes:
            self.latest[change.name] = Text(change.path, change.new)
        self._owners, self._tried = {}, set()

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Take back all that is done on the stage within the context, and ``ship`` there."""
        latest = dict(self.latest)
        try:
            with self.stage.undone():
                yield
        finally:
            self.latest, self._owners, self._tried = latest, {}, set()

    def created_by(self, change: RoutineChange) -> tuple[DatabaseObject, ...]:
        """Return what the text before a change has created, as it is now."""
        if not change.old:
            return ()
        try:
            return self.stage.created_by(change.old, change.path)
        except StatementError:
            # A table that it names may have other columns by now, or be gone.
            return self.stage.named_in(change.old, change.path)

    def run(
        self, change: RoutineChange, old: Sequence[DatabaseObject], *, keep_old: bool
    ) -> tuple[Sequence[DatabaseObject], Sequence[DatabaseObject]]:
        """Run a text; return what it creates, and what it no longer does."""
        if not change.new:
            raise Declined(problem(change, "this file is gone"))
        created = self.stage.create(change.new, change.path)
        left = self.left_over(old, created)
        if left and not keep_old:
            names = ", ".join(one.identity for one in left)
            raise Declined(problem(change, f"{names} would be left over"))
        return created, left

    def left_over(
        self, old: Iterable[DatabaseObject], created: Iterable[DatabaseObject]
    ) -> tuple[DatabaseObject, ...]:
        """Return what was there by an old text, is there now, and is in no new one."""
        kept = {key(one) for one in created}
        there = self.stage.objects()
        return tuple(one for one in old if key(one) not in kept and key(one) in there)

    def owner_of_dependant(self, dependant: Dependant) -> str | None:
        """Return the working copy that an object comes from."""
        return None if dependant.object is None else self.owner(dependant.object)

    def owner(self, found: DatabaseObject) -> str | None:
        """Return the working copy whose latest text creates an object."""
        untried = [name for name in self.latest if name not in self._tried]
        # To run them all takes long, and most often the first is the one.
        for name in sorted(untried, key=lambda name: not self._creating(name, found)):
            if key(found) in self._owners:
                break
            self._try(name)
        return self._owners.get(key(found))

    def name_schema_of(self, found: DatabaseObject) -> bool:
        """Tell whether a text that creates an object says in which schema, or sets the path."""
        return any(
            head.is_qualified or _sets_path(self.latest[name])
            for name in self.latest
            for head in self._creating(name, found)
        )

    def _creating(self, name: str, found: DatabaseObject) -> list[Head]:
        """Return the beginnings of a text's statements that say that they create an object."""
        text = self.latest[name]
        if text not in self._heads:
            statements = read_statements(text.text, text.path)
            self._heads[text] = tuple(head for _, head in heads(statements))
        return [head for head in self._heads[text] if head.creates(found)]

    def _try(self, name: str) -> None:
        self._tried.add(name)
        text = self.latest[name]
        with suppress(StatementError):
            created = self.stage.created_by(text.text, text.path)
            self._owners.update({key(one): name for one in created})

    def refuse_shared(
        self,
        change: RoutineChange,
        own: Container[str],
        created: Iterable[DatabaseObject],
        before: Objects,
    ) -> None:
        """Refuse a file that comes to create what another file creates as well."""
        for one in (o for o in created if key(o) in before and key(o) not in own):
            owner = self.owner(one)
            if owner is not None and owner != change.name:
                path = self.latest[owner].path
                raise Declined(problem(change, f"{path} creates {one.identity} as well"))


def _sets_path(text: Text) -> bool:
    statements = read_statements(text.text, text.path)
    return any(one.words[:1] == ("SET",) and PATH in one.words[:3] for one in statements)


def latest_texts(settings: Settings) -> dict[str, Text]:
    """Return what the latest snapshots say, by the names of their working copies."""
    found = read_snapshots(settings).values()
    return {one.name: Text(shown(settings, one.name), one.text) for one in found if one.text}
