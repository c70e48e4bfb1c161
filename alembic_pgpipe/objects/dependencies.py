"""What depends on what, by the server's own records."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from alembic_pgpipe.objects.catalogue import Catalogue, catalogue
from alembic_pgpipe.objects.held import Address, DatabaseObject, read_objects
from alembic_pgpipe.objects.order import in_order

INTERNAL = "i"
AUTO = "a"
# On a partition, the same as on the partitioned table.
PARTITION = "P"


class Node(NamedTuple):
    """An object, or one of its columns where ``column`` is not 0."""

    catalog: int
    oid: int
    column: int = 0

    @property
    def address(self) -> Address:
        """Return the object, without the column."""
        return Address(self.catalog, self.oid)


class Edge(NamedTuple):
    """A row of ``pg_depend``."""

    dependant: Node
    on: Node
    type: str


@dataclass(frozen=True, slots=True)
class Dependant:
    """What would go with ``DROP … CASCADE``.

    ``description`` is the server's: "default value for column c of table public.t".
    ``object`` is None where it is of no kind of ours.  ``on`` is what it depends on
    directly.
    """

    address: Address
    description: str
    object: DatabaseObject | None
    on: Address


@dataclass(frozen=True, slots=True)
class Graph:
    """The dependencies of a database, between whole objects.

    The parts of an object are no nodes: a view's rule, type and column defaults, the
    indexes of a materialized view, the checks of a domain.
    """

    objects: Mapping[Address, DatabaseObject]
    above: Mapping[Node, Mapping[Node, None]]
    below: Mapping[Node, Mapping[Node, None]]

    def dependants(self, addresses: Iterable[Address]) -> Mapping[Node, Node]:
        """Return what depends on objects, nearest first, and on what it does directly."""
        start = [Node(a.catalog, a.oid) for a in addresses]
        found: dict[Node, Node] = {}
        waiting = deque(start)
        while waiting:
            node = waiting.popleft()
            for dependant in self.above.get(node, ()):
                if dependant not in found and dependant not in start:
                    found[dependant] = node
                    waiting.append(dependant)
        return {node: found[node] for node in in_order(found, self._needs)}

    def needs(self, address: Address) -> frozenset[Address]:
        """Return the objects of our kinds that one needs directly."""
        needed = (node.address for node in self._needs(Node(address.catalog, address.oid)))
        return frozenset(one for one in needed if one in self.objects)

    def needed_by_others(self, address: Address, known: Container[Address]) -> Node | None:
        """Return something that needs an object and is not known, such as a table's column."""
        found = (node for node in self.dependants((address,)) if node.address not in known)
        return next(found, None)

    def _needs(self, node: Node) -> Iterable[Node]:
        return self.below.get(node, ())


def read_graph(connection: Connection, objects: Iterable[DatabaseObject]) -> Graph:
    """Return the dependencies of all that was made by users, with objects of our kinds."""
    with catalogue(connection) as source:
        edges = list(_edges(source))
    return make_graph({one.address: one for one in objects}, edges)


def make_graph(objects: Mapping[Address, DatabaseObject], edges: Iterable[Edge]) -> Graph:
    """Return the dependencies between whole objects, from the rows of ``pg_depend``."""
    rows = sorted(edges)
    owners = dict(_owners(rows, objects))
    columns: dict[Node, list[Node]] = defaultdict(list)
    above: dict[Node, dict[Node, None]] = defaultdict(dict)
    below: dict[Node, dict[Node, None]] = defaultdict(dict)
    for edge in rows:
        dependant = _whole(edge.dependant, owners, objects)
        on = _whole(edge.on, owners, objects)
        if dependant.address != on.address:
            above[on][dependant] = None
            below[dependant][on] = None
        if on.column:
            columns[Node(*on[:2])].append(on)
    for table, parts in columns.items():
        # A table that goes takes what depends on its columns with it.
        for part in parts:
            above[table].update(above[part])
    return Graph(objects, above, below)


def read_dependants(
    connection: Connection, addresses: Iterable[Address]
) -> tuple[Dependant, ...]:
    """Return what would go with ``DROP … CASCADE`` of objects, nearest first.

    In the reverse order they can be dropped one by one.
    """
    graph = read_graph(connection, read_objects(connection))
    found = graph.dependants(tuple(addresses))
    described = describe(connection, found)
    return tuple(
        Dependant(node.address, described[node], graph.objects.get(node.address), on.address)
        for node, on in found.items()
    )


def describe(connection: Connection, nodes: Iterable[Node]) -> Mapping[Node, str]:
    """Return what the server calls things, with their schemas."""
    asked = list(nodes)
    catalogs, oids, columns = zip(*asked, strict=True) if asked else ((), (), ())
    with catalogue(connection) as source:
        rows = source.rows(DESCRIBE, list(catalogs), list(oids), list(columns))
    return {Node(row.catalog, row.oid, row.part): row.description for row in rows}


def _edges(source: Catalogue) -> Iterator[Edge]:
    for row in source.rows(EDGES):
        yield Edge(
            Node(row.classid, row.objid, row.objsubid),
            Node(row.refclassid, row.refobjid, row.refobjsubid),
            row.deptype,
        )


def _owners(
    edges: Iterable[Edge], objects: Mapping[Address, DatabaseObject]
) -> Iterator[tuple[Node, Node]]:
    """Yield each part of an object and what it is a part of."""
    for edge in edges:
        whole = Node(*edge.on[:2])
        if edge.dependant.column:
            continue
        is_part = edge.type == AUTO and (
            edge.on.address in objects and edge.dependant.address not in objects
        )
        if edge.type in (INTERNAL, PARTITION) or is_part:
            yield edge.dependant, whole


def _whole(
    node: Node, owners: Mapping[Node, Node], objects: Mapping[Address, DatabaseObject]
) -> Node:
    seen = {node}
    while (owner := owners.get(Node(*node[:2]))) is not None and owner not in seen:
        node = owner
        seen.add(node)
    return Node(*node[:2]) if node.address in objects else node


# Below this number are PostgreSQL's own objects.
EDGES = """
SELECT classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype::text AS deptype
FROM pg_catalog.pg_depend
WHERE objid >= 16384 AND refobjid >= 16384 AND deptype IN ('n', 'a', 'i', 'P', 'S')
    AND refclassid NOT IN ('pg_catalog.pg_namespace'::pg_catalog.regclass,
        'pg_catalog.pg_extension'::pg_catalog.regclass)
    AND NOT (classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND objid IN (
        SELECT oid FROM pg_catalog.pg_class
        WHERE relnamespace = 'pg_toast'::pg_catalog.regnamespace))
"""
DESCRIBE = """
SELECT n.catalog, n.oid, n.part,
    pg_catalog.pg_describe_object(n.catalog, n.oid, n.part) AS description
FROM ROWS FROM (pg_catalog.unnest(%s::pg_catalog.oid[]),
    pg_catalog.unnest(%s::pg_catalog.oid[]), pg_catalog.unnest(%s::pg_catalog.int4[]))
    AS n (catalog, oid, part)
"""
