"""Triggers and policies that no routine file makes, as lines of their tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from sqlalchemy import Connection

from alembic_pgpipe.drift.differences import besides, same_there
from alembic_pgpipe.objects.definitions import Definition, read_definitions
from alembic_pgpipe.objects.held import DatabaseObject, Kind, key, read_objects
from alembic_pgpipe.objects.tables import Structure, TableKind
from alembic_pgpipe.shipping.stage import Stage

PARTS = MappingProxyType({Kind.TRIGGER: "triggers", Kind.POLICY: "policies"})


@dataclass(frozen=True, slots=True)
class Sides:
    """The tables as the project makes them, and as the database holds them."""

    project: Sequence[Structure]
    database: Sequence[Structure]


def with_triggers_and_policies(
    sides: Sides, database: Connection, stage: Stage, own: Iterable[DatabaseObject]
) -> Sides:
    """Return the tables, with those triggers and policies that only they can tell of.

    ``own`` is what the routine files make: of that, and of what is there besides it in its
    schemas, ``find_drift`` tells.
    """
    wanted = {key(one): one for one in own}
    held = {key(one): one for one in read_objects(database)}
    told = {*wanted, *(key(one) for one in besides(held, wanted, stage))}
    rehearsed = stage.objects()
    ours = _read(stage.rehearsal.connection, _of(sides.project, rehearsed, told))
    theirs = _read(database, _of(sides.database, held, told))
    worded = (_worded(ours.get(name), one, stage) for name, one in theirs.items())
    return Sides(_with(sides.project, ours.values()), _with(sides.database, worded))


def _of(
    tables: Iterable[Structure],
    objects: Mapping[str, DatabaseObject],
    told: Collection[str],
) -> Sequence[DatabaseObject]:
    names = {(one.schema, one.name) for one in tables if one.kind is TableKind.TABLE}
    return [
        one
        for name, one in objects.items()
        if one.kind in PARTS and name not in told and (one.schema, one.relation) in names
    ]


def _read(
    connection: Connection, objects: Sequence[DatabaseObject]
) -> Mapping[str, Definition]:
    return {key(one.object): one for one in read_definitions(connection, objects).values()}


def _worded(ours: Definition | None, theirs: Definition, stage: Stage) -> Definition:
    """Return the database's definition, in the project's words where only words differ."""
    if ours is None or ours.create == theirs.create or not same_there(ours, theirs, stage):
        return theirs
    return ours


def _with(tables: Iterable[Structure], found: Iterable[Definition]) -> Sequence[Structure]:
    texts: dict[tuple[str | None, str | None], dict[str, list[str]]] = defaultdict(dict)
    for one in found:
        table = texts[one.object.schema, one.object.relation]
        table.setdefault(PARTS[one.object.kind], []).append(one.create.rstrip("\n"))
    return [_added(one, texts.get((one.schema, one.name), {})) for one in tables]


def _added(table: Structure, texts: Mapping[str, Sequence[str]]) -> Structure:
    if table.kind is not TableKind.TABLE or not texts:
        return table
    added = {part: "\n".join(sorted(texts[part])) for part in sorted(texts)}
    return replace(table, parts={**table.parts, **added})
