"""Which object a statement creates, from the words that it starts with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alembic_pgpipe.objects.held import DatabaseObject, Kind
from alembic_pgpipe.source.names import NAME, parts, passed_in, same_name, same_types, split
from alembic_pgpipe.source.reader import Statement, without_comments

HEAD = re.compile(
    r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:TEMP|TEMPORARY|RECURSIVE|CONSTRAINT)\s+)*"
    r"(?P<kind>FUNCTION|PROCEDURE|AGGREGATE|MATERIALIZED\s+VIEW|VIEW|EVENT\s+TRIGGER|TRIGGER|"
    rf"POLICY|DOMAIN)\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>{NAME})\s*(?P<open>\()?",
    re.I,
)
RELATION = re.compile(rf"\bON\s+(?P<name>{NAME})", re.I)
ORDER_BY = re.compile(r"\bORDER\s+BY\b", re.I)
VARIADIC = re.compile(r"VARIADIC\b", re.I)
NO_TYPES = re.compile(r"\(\*?\)\Z")
WITH_ARGUMENTS = frozenset({Kind.FUNCTION, Kind.PROCEDURE, Kind.AGGREGATE})
ON_A_RELATION = frozenset({Kind.TRIGGER, Kind.POLICY})


@dataclass(frozen=True, slots=True)
class Head:
    """What a statement creates; names are in parts, as the catalogue has them.

    ``arguments`` are those that a caller passes in, as they are declared.
    """

    kind: Kind
    name: tuple[str, ...]
    relation: tuple[str, ...] | None = None
    arguments: tuple[str, ...] | None = None

    @property
    def is_qualified(self) -> bool:
        """Tell whether the schema is named, of a trigger or policy that of its table."""
        return len(self.relation or self.name) > 1 or self.kind is Kind.EVENT_TRIGGER

    def creates(self, found: DatabaseObject) -> bool:
        """Tell whether it is this object; a schema that it lacks may be any."""
        if self.kind is not found.kind:
            return False
        if self.kind in ON_A_RELATION:
            relation = _qualified(found.schema, found.relation or "")
            return self.name == (found.name,) and same_name(self.relation or (), relation)
        if not same_name(self.name, _qualified(found.schema, found.name)):
            return False
        return self.arguments is None or same_types(list(self.arguments), types_of(found))


def heads(statements: Iterable[Statement]) -> Iterator[tuple[Statement, Head]]:
    """Yield the statements that create objects of our kinds, and what they create."""
    for statement in statements:
        head = head_of(statement)
        if head is not None:
            yield statement, head


def head_of(statement: Statement) -> Head | None:
    """Return what a statement creates, or None where it is of no kind of ours."""
    if statement.words[:1] != ("CREATE",):
        return None
    text = without_comments(statement)
    match = HEAD.match(text)
    if match is None:
        return None
    kind = Kind(" ".join(match["kind"].upper().split()))
    name = parts(match["name"])
    if kind in ON_A_RELATION:
        relation = RELATION.search(text, match.end("name"))
        return Head(kind, name, parts(relation["name"])) if relation else None
    if kind in WITH_ARGUMENTS and match["open"]:
        listed = ORDER_BY.sub(",", text) if kind is Kind.AGGREGATE else text
        passed, _ = passed_in(listed, match.start("open"))
        if len([one for one in passed if VARIADIC.match(one)]) > 1:
            del passed[-1]  # a hypothetical set: the server has the two as one
        return Head(kind, name, arguments=tuple(one for one in passed if one != "*"))
    return Head(kind, name)


def types_of(found: DatabaseObject) -> tuple[str, ...]:
    """Return the types of what is passed to a routine or an aggregate."""
    if NO_TYPES.search(found.identity):
        return ()
    listed = found.identity[len(_quoted_part(found.identity)) + 1 : -1]
    return tuple(split(listed))


def _quoted_part(identity: str) -> str:
    match = re.match(NAME, identity)
    return match[0] if match else ""


def _qualified(schema: str | None, name: str) -> tuple[str, ...]:
    return (name,) if schema is None else (schema, name)
