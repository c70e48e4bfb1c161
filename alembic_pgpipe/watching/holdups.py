"""What a step holds up: decided from its tables as they were and are, and from its locks.

No statement is read for it.  A rehearsal asks the server; its tables may well be empty, and
then all of this shows all the same.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

EXCLUSIVE = "AccessExclusiveLock"
# While one of these is held, nobody else can write.
STRONG = frozenset({"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", EXCLUSIVE})
# CREATE INDEX takes this one, and reads all rows for nothing but the index.
SHARED = frozenset({"ShareLock"})
MATERIALIZED_VIEW = "m"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; ``required`` where it is NOT NULL."""

    name: str
    type: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An index and the number of its file; ``of_constraint`` where one of those needs it.

    It was made ``at_once`` unless another transaction than the one that began it ended it.
    """

    file: int
    of_constraint: bool = False
    at_once: bool = True


@dataclass(frozen=True, slots=True)
class Constraint:
    """A check or a foreign key that all rows fulfil; ``referenced`` is a table's oid, or 0.

    It was validated ``at_once`` unless that was another transaction's work.
    """

    referenced: int = 0
    at_once: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table or a materialized view, by its full name.

    ``file`` is the number of the file with its rows, ``storage`` where and how they are kept,
    ``root`` the oid of the partitioned table that it is a part of, or 0.
    """

    name: str
    kind: str = "r"
    root: int = 0
    file: int = 0
    counted: bool = False
    storage: str = ""
    columns: Mapping[int, Column] = field(default_factory=dict)
    indexes: Mapping[int, Index] = field(default_factory=dict)
    constraints: Mapping[int, Constraint] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[str, Mapping[int, str]]:
        """Return what the form of the rows in the file depends on."""
        return self.storage, {number: column.type for number, column in self.columns.items()}


@dataclass(frozen=True, slots=True)
class Lock:
    """The strong locks that a step has on a table, and how often it has read all of it."""

    modes: frozenset[str]
    scans: int = 0


class Kind(str, Enum):
    """What happens to a table, in the order in which it is told, and in which words."""

    REWRITTEN = "rewrites {}, which nobody can read meanwhile"
    REWRITTEN_OR_EMPTIED = "rewrites or empties {}, which nobody can read meanwhile"
    EMPTIED = "empties {}"
    DROPPED = "drops {} with all rows"
    COLUMN_DROPPED = "drops {} with all values"
    REQUIRED = (
        "reads all of {} while nobody else can read it (SET NOT NULL behind a CHECK (… IS NOT "
        "NULL) that was added NOT VALID, and validated in a file of its own, does not)"
    )
    READ_ALONE = (
        "reads all of {} while nobody else can read it (a constraint that is NOT VALID, and "
        "VALIDATE CONSTRAINT in a file of its own, does not)"
    )
    READ = (
        "reads all of {} while nobody can write to it (a constraint that is NOT VALID, and "
        "VALIDATE CONSTRAINT in a file of its own, does not)"
    )
    REFERENCED = "lets nobody write to {} meanwhile"
    READ_AND_LOCKED = (
        "reads all of {} in a transaction that also locks others out of it (a file of its own "
        "for each does not)"
    )
    INDEXED = (
        "holds up writes to {} until an index is built (CONCURRENTLY, in a file of its own, it "
        "does not)"
    )
    KEYED = (
        "holds up all that reads or writes {} until the index of a constraint is built (CREATE "
        "UNIQUE INDEX CONCURRENTLY in a file of its own, then ADD CONSTRAINT … USING INDEX, "
        "does not)"
    )


@dataclass(frozen=True, slots=True)
class Holdup:
    """Something that a step does to a table that was there; ``name`` is what it is done to."""

    kind: Kind
    table: int
    name: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a step: the oids of tables that it made, and what it holds up."""

    made: tuple[int, ...] = ()
    holdups: tuple[Holdup, ...] = ()

    def __str__(self) -> str:
        """Return it as a text that ``read_seen`` reads."""
        holdups = [(one.kind.name, one.table, one.name) for one in self.holdups]
        return json.dumps({"made": self.made, "holdups": holdups}, ensure_ascii=False)


def read_seen(text: str) -> Seen:
    """Return what was seen of a step, from its text."""
    found = json.loads(text)
    holdups = (Holdup(Kind[kind], table, name) for kind, table, name in found["holdups"])
    return Seen(tuple(found["made"]), tuple(holdups))


def told(seen: Mapping[str, Seen]) -> tuple[str, ...]:
    """Return a line for each file, by its name, that holds something up.

    What one of them makes is empty where it is made, so that the others hold nothing up.
    """
    made = {table for one in seen.values() for table in one.made}
    lines = ((file, _said(one.holdups, made)) for file, one in seen.items())
    return tuple(f"{file} {said}" for file, said in lines if said)


def _said(holdups: Iterable[Holdup], made: Collection[int]) -> str:
    names: dict[Kind, dict[str, None]] = {kind: {} for kind in Kind}
    for one in holdups:
        if one.table not in made:
            names[one.kind][one.name] = None
    return "; ".join(
        kind.value.format(_listed(list(names[kind]))) for kind in Kind if names[kind]
    )


def _listed(names: list[str]) -> str:
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} others"]
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def compared(
    before: Mapping[int, Table], after: Mapping[int, Table], locks: Mapping[int, Lock] | None
) -> Seen:
    """Return what a step has done to the tables that were there, by their oids.

    ``locks`` are those that its transaction holds on them, None where it had none of its
    own.  Then nobody knows what was read, and less is said.
    """
    comparison = _Comparison(before, after, locks)
    holdups = (one for oid in before for one in comparison.holdups(oid))
    return Seen(tuple(sorted(after.keys() - before.keys())), tuple(holdups))


@dataclass(frozen=True, slots=True)
class _Comparison:
    before: Mapping[int, Table]
    after: Mapping[int, Table]
    locks: Mapping[int, Lock] | None

    def holdups(self, oid: int) -> Iterator[Holdup]:
        """Yield what was done to one table."""
        old, new = self.before[oid], self.after.get(oid)
        if new is None:
            if old.kind != MATERIALIZED_VIEW and not self._is_gone(old.root):
                yield Holdup(Kind.DROPPED, oid, old.name)
            return
        if old.file != new.file:
            kind = self._rewritten(oid, old, new)
            name = old.name if kind is Kind.EMPTIED else self._whole(old)
            yield Holdup(kind, oid, name)
        elif old.kind != MATERIALIZED_VIEW:
            yield from self._indexed(oid, old, new)
            yield from self._read(oid, old, new)
        for number in old.columns.keys() - new.columns.keys():
            name = f"{self._whole(old)}.{old.columns[number].name}"
            yield Holdup(Kind.COLUMN_DROPPED, oid, name)

    def _is_gone(self, oid: int) -> bool:
        return oid in self.before and oid not in self.after

    def _whole(self, table: Table) -> str:
        """Return the name of the partitioned table where all of that is locked as well."""
        is_locked = self.locks is not None and table.root in self.locks
        return self.before.get(table.root, table).name if is_locked else table.name

    def _rewritten(self, oid: int, old: Table, new: Table) -> Kind:
        """Tell TRUNCATE, which reads nothing but to build the indexes, from what rewrites."""
        if new.kind == MATERIALIZED_VIEW:
            return Kind.REWRITTEN
        if self.locks is not None and not new.counted and not self._reads(oid, old, new):
            return Kind.EMPTIED
        return Kind.REWRITTEN if old.shape != new.shape else Kind.REWRITTEN_OR_EMPTIED

    def _indexed(self, oid: int, old: Table, new: Table) -> Iterator[Holdup]:
        for index, made in _built(old, new):
            if self.locks is not None or index.at_once:
                kind = Kind.KEYED if made and index.of_constraint else Kind.INDEXED
                yield Holdup(kind, oid, self._whole(old))

    def _read(self, oid: int, old: Table, new: Table) -> Iterator[Holdup]:
        fulfilled = [new.constraints[key] for key in new.constraints.keys() - old.constraints]
        if self.locks is None:
            fulfilled = [one for one in fulfilled if one.at_once]
            read, modes = bool(fulfilled), frozenset[str]()
        else:
            modes = self.locks[oid].modes - SHARED
            read = bool(modes) and self._reads(oid, old, new)
        if not read or any(made and index.of_constraint for index, made in _built(old, new)):
            return
        kind = Kind.READ_AND_LOCKED
        if fulfilled:
            kind = Kind.READ_ALONE if EXCLUSIVE in modes else Kind.READ
        elif _newly_required(old, new):
            kind = Kind.REQUIRED
        yield Holdup(kind, oid, self._whole(old))
        for referenced in {one.referenced for one in fulfilled} & self.before.keys():
            yield Holdup(Kind.REFERENCED, referenced, self.before[referenced].name)

    def _reads(self, oid: int, old: Table, new: Table) -> bool:
        """Return whether all of a table was read for more than its new indexes."""
        lock = self.locks.get(oid) if self.locks is not None else None
        return lock is not None and lock.scans > len(_built(old, new))


def _built(old: Table, new: Table) -> list[tuple[Index, bool]]:
    """Return the indexes that were built, and whether they are new ones.

    What only has another number, and the file of one that was there, was not built.
    """
    files = {index.file for index in old.indexes.values()} | {0}
    return [
        (index, oid not in old.indexes)
        for oid, index in new.indexes.items()
        if index.file not in files
    ]


def _newly_required(old: Table, new: Table) -> bool:
    return any(
        column.required and number in old.columns and not old.columns[number].required
        for number, column in new.columns.items()
    )
