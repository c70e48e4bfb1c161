"""What is changed, missing or extra in a database, beside what the rehearsal has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.objects.definitions import Definition, gives_to, read_definitions, read_user
from alembic_pgpipe.objects.heads import Head
from alembic_pgpipe.objects.held import DatabaseObject, Named, key, read_objects
from alembic_pgpipe.objects.tables import Structure
from alembic_pgpipe.sending.server_errors import StatementError
from alembic_pgpipe.shipping.stage import Stage

NOT_FILLED = re.compile(r"(?<=\n  WITH )NO (?=DATA;\n)")


class Drifted(str, Enum):
    """What became of an object."""

    CHANGED = "changed"
    MISSING = "missing"
    EXTRA = "extra"


T = TypeVar("T", bound=Named)
T_co = TypeVar("T_co", bound=Named, covariant=True)


@dataclass(frozen=True, slots=True)
class Drift(Generic[T_co]):
    """An object that is not what the project makes of it.

    ``parts`` say what is changed: of a routine and the like definition, owner, privileges,
    comment; else the parts of its structure.  ``project`` and ``database`` are the texts
    that differ, the whole where only one side has the object, and empty on the other.
    """

    object: T_co
    state: Drifted
    parts: tuple[str, ...] = ()
    project: str = ""
    database: str = ""

    def diff(self) -> tuple[str, ...]:
        """Return the lines of a unified diff from the project to the database."""
        sides = (self.project.splitlines(), self.database.splitlines())
        return tuple(difflib.unified_diff(*sides, "project", "database", lineterm=""))


def own_objects(
    objects: Iterable[DatabaseObject], heads: Iterable[Head]
) -> tuple[DatabaseObject, ...]:
    """Return the objects that one of the heads creates."""
    by_name: dict[str, list[Head]] = {}
    for head in heads:
        by_name.setdefault(head.name[-1], []).append(head)
    return tuple(o for o in objects if any(h.creates(o) for h in by_name.get(o.name, ())))


def find_drift(
    database: Connection, stage: Stage, own: Iterable[DatabaseObject]
) -> Iterator[Drift[DatabaseObject]]:
    """Yield what differs of the project's own objects, and what is there besides them.

    ``own`` are those of the rehearsal.  Extra is what is in their schemas and is not in
    the rehearsal at all.
    """
    held = {key(one): one for one in read_objects(database)}
    wanted = {key(one): one for one in own}
    extra = besides(held, wanted, stage)
    shared = (one for name, one in held.items() if name in wanted)
    of_database = _by_key(read_definitions(database, (*shared, *extra)).values())
    of_project = _by_key(read_definitions(stage.rehearsal.connection, wanted.values()).values())
    users = (stage.user(), read_user(database))
    for name, project in of_project.items():
        found = of_database.get(name)
        if found is None:
            yield Drift(wanted[name], Drifted.MISSING, project=project.text_for(users[0]))
        elif drift := compare(project, found, stage):
            yield drift
    for one in extra:
        if found := of_database.get(key(one)):
            yield Drift(one, Drifted.EXTRA, database=found.text_for(users[1]))


def besides(
    held: Mapping[str, DatabaseObject], own: Mapping[str, DatabaseObject], stage: Stage
) -> Sequence[DatabaseObject]:
    """Return what is held in the schemas of the project's own, and not in the rehearsal."""
    schemas = {one.schema for one in own.values()}
    rehearsed = stage.objects()
    return [
        one for name, one in held.items() if one.schema in schemas and name not in rehearsed
    ]


def compare(
    project: Definition, database: Definition, stage: Stage
) -> Drift[DatabaseObject] | None:
    """Return how an object of the database differs from the project's, or None.

    Servers of different versions put one thing into different words.  Words that differ
    are therefore made an object on the rehearsal's server, and read back there.
    """
    user = stage.user()
    # Who owns an object that the project gives to nobody depends on who runs the pipeline.
    owned = project.owner != user
    owners = () if owned else (project.shown_owner, database.shown_owner)
    sides = [_parts(one, owners, owned=owned) for one in (project, database)]
    changed = _changed_parts(*sides)
    if "definition" in changed and same_there(project, database, stage):
        changed.remove("definition")
    return _changed(project.object, changed, *sides) if changed else None


def without_lone_partitions(
    project: Sequence[Structure], database: Sequence[Structure]
) -> tuple[Sequence[Structure], Sequence[Structure]]:
    """Return both sides without the partitions that only one has: jobs make and drop them."""
    both = set(map(key, project)) & set(map(key, database))
    ours, theirs = (
        [one for one in side if not one.is_partition or key(one) in both]
        for side in (project, database)
    )
    return ours, theirs


def find_structure_drift(
    project: Iterable[Structure], database: Iterable[Structure]
) -> Iterator[Drift[Structure]]:
    """Yield which tables, sequences and types differ.

    Extra is what the database has besides in the project's schemas.
    """
    wanted, held = ({key(one): one for one in side} for side in (project, database))
    for name, one in wanted.items():
        found = held.get(name)
        if found is None:
            yield Drift(one, Drifted.MISSING, project=one.text)
        elif changed := _changed_parts(one.parts, found.parts):
            yield _changed(one, changed, one.parts, found.parts)
    schemas = {one.schema for one in wanted.values()}
    for name, one in held.items():
        if one.schema in schemas and name not in wanted:
            yield Drift(one, Drifted.EXTRA, database=one.text)


def _changed_parts(project: Mapping[str, str], database: Mapping[str, str]) -> list[str]:
    parts = dict.fromkeys((*project, *database))
    return [part for part in parts if project.get(part) != database.get(part)]


def _changed(found: T, parts: Sequence[str], *sides: Mapping[str, str]) -> Drift[T]:
    texts = ("\n".join(filter(None, map(side.get, parts))) for side in sides)
    return Drift(found, Drifted.CHANGED, tuple(parts), *texts)


def _parts(one: Definition, owners: Container[str], *, owned: bool) -> Mapping[str, str]:
    """Return what is compared, by its name: owners may do what they are granted anyway."""
    return {
        "definition": NOT_FILLED.sub("", one.create),  # a REFRESH changes no definition
        "owner": one.ownership if owned else "",
        "privileges": "".join(sorted(g for g in one.grants if not gives_to(g, owners))),
        "comment": one.comment_statement + "".join(one.part_comments),
    }


def same_there(project: Definition, database: Definition, stage: Stage) -> bool:
    """Tell whether two definitions are in the same words where one server reads them."""
    read = _read_back(database, stage)
    # What was read and written twice may be worded otherwise than what was written once.
    return read is not None and read in (project.create, _read_back(project, stage))


def _read_back(definition: Definition, stage: Stage) -> str | None:
    """Return what the rehearsal's server says of an object, made there from a definition."""
    found = definition.object
    try:
        with stage.undone():
            stage.command(f"DROP {found.kind.value} {found.identity} CASCADE")
            stage.command("SET LOCAL check_function_bodies = off")
            stage.rehearsal.run(definition.create, found.identity)
            made = stage.objects().get(key(found))
            if made is None:
                return None
            read = read_definitions(stage.rehearsal.connection, [made])
            return read[made.address].create
    except (StatementError, SourceError, DBAPIError):
        return None


def _by_key(definitions: Iterable[Definition]) -> Mapping[str, Definition]:
    return {key(one.object): one for one in definitions}
