"""The baseline: what a database holds already, as a project's first snapshots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from alembic_pgpipe.objects.definitions import Definition, read_definitions
from alembic_pgpipe.objects.dependencies import Graph, describe, read_graph
from alembic_pgpipe.objects.held import ROUTINES, Address, DatabaseObject, Kind
from alembic_pgpipe.objects.order import in_order

# An event trigger is last: it would fire for whatever is created behind it.
RANKS = (
    Kind.DOMAIN,
    Kind.FUNCTION,
    Kind.PROCEDURE,
    Kind.AGGREGATE,
    Kind.VIEW,
    Kind.MATERIALIZED_VIEW,
    Kind.TRIGGER,
    Kind.POLICY,
    Kind.EVENT_TRIGGER,
)
WORDS = re.compile(r"\w+")
NAMED_IN_BODIES = frozenset(RANKS[:6])
NAMED_AS_TYPES = frozenset({Kind.DOMAIN, Kind.VIEW, Kind.MATERIALIZED_VIEW})
UNREAD = """-- What the body names is not there yet, or not on the search path.
SET check_function_bodies = off;
"""
BODY_IS_READ = re.compile(r"^ LANGUAGE sql\b", re.M)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Objects with their definitions, each behind all that it needs.

    ``kept`` says, for an object that must not be dropped, what else needs it.
    ``unreadable`` are routines that can be created only where their bodies are not read.
    """

    objects: Sequence[DatabaseObject]
    definitions: Mapping[Address, Definition]
    kept: Mapping[Address, str]
    unreadable: frozenset[Address]

    def text_for(self, user: str, found: DatabaseObject) -> str:
        """Return an object's file, for ``user`` who runs it."""
        text = self.definitions[found.address].text_for(user)
        return f"{UNREAD}\n{text}" if found.address in self.unreadable else text

    def undo(self, found: DatabaseObject) -> str:
        """Return the statement that drops an object, or why it stays."""
        if found.address in self.kept:
            return (
                f"-- {found.identity} stays: {self.kept[found.address]} needs it, so it was "
                "there before.\n"
            )
        return f"DROP {found.kind.value} {found.identity};\n"


def read_baseline(
    connection: Connection,
    chosen: Iterable[DatabaseObject],
    everything: Iterable[DatabaseObject],
    unreadable: frozenset[Address],
) -> Baseline:
    """Return the baseline of some of a database's objects.

    ``unreadable`` are the routines whose bodies the server cannot read there.
    """
    wanted = tuple(chosen)
    graph = read_graph(connection, everything)
    definitions = read_definitions(connection, wanted)
    known = frozenset(one.address for one in wanted)
    needed = {address: graph.needed_by_others(address, known) for address in known}
    nodes = {address: node for address, node in needed.items() if node is not None}
    described = describe(connection, set(nodes.values()))
    named = names_in_bodies(definitions)
    order = baseline_order([o for o in wanted if o.address in definitions], graph, named)
    return Baseline(
        objects=order,
        definitions=definitions,
        kept={address: described[node] for address, node in nodes.items()},
        unreadable=unreadable | frozenset(_too_early(order, named)),
    )


def names_in_bodies(
    definitions: Mapping[Address, Definition],
) -> Mapping[Address, frozenset[Address]]:
    """Return which other objects each routine's text names, and must find when it is made.

    The server records nothing of what a body in quotes uses.  Of PL/pgSQL it reads no
    more than the types of variables.
    """
    by_name: dict[str, list[DatabaseObject]] = {}
    for one in definitions.values():
        by_name.setdefault(one.object.name, []).append(one.object)
    found = {}
    for address, one in definitions.items():
        if one.object.kind in ROUTINES:
            kinds = NAMED_IN_BODIES if BODY_IS_READ.search(one.create) else NAMED_AS_TYPES
            words = set(WORDS.findall(one.create))
            named = (other for word in words for other in by_name.get(word, ()))
            found[address] = frozenset(
                o.address for o in named if o.kind in kinds and o.address != address
            )
    return found


def baseline_order(
    objects: Iterable[DatabaseObject],
    graph: Graph,
    named: Mapping[Address, frozenset[Address]],
) -> Sequence[DatabaseObject]:
    """Return objects in an order in which they can be created.

    The server records what most of them need; a routine comes behind what its body names
    as well, where it can.
    """
    ranked = sorted(objects, key=lambda one: (RANKS.index(one.kind), one.identity))
    known = {one.address: one for one in ranked}
    last = [one for one in ranked if one.kind is Kind.EVENT_TRIGGER]
    needs = {
        one: [known[a] for a in sorted(graph.needs(one.address)) if a in known]
        for one in ranked
    }
    wishes = {
        one: [known[a] for a in sorted(named.get(one.address, ())) if a in known]
        for one in ranked
    }
    others = [one for one in ranked if one not in last]
    return [*in_order(others, needs.__getitem__, wishes.__getitem__), *last]


def _too_early(
    order: Sequence[DatabaseObject], named: Mapping[Address, frozenset[Address]]
) -> Iterator[Address]:
    """Yield the routines that come ahead of something that their body names."""
    there: set[Address] = set()
    coming = {one.address for one in order}
    for one in order:
        there.add(one.address)
        if named.get(one.address, frozenset()) & coming - there:
            yield one.address
