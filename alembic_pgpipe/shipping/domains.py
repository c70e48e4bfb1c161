"""Domains are altered: tables stand on them, so that they cannot be dropped and created."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from alembic_pgpipe.objects.catalogue import catalogue
from alembic_pgpipe.objects.held import DatabaseObject, Kind, key
from alembic_pgpipe.routines.composed import without_domain
from alembic_pgpipe.routines.working import RoutineChange
from alembic_pgpipe.shipping.kept import GIVE_BACK, drop
from alembic_pgpipe.shipping.shipment import Declined, problem
from alembic_pgpipe.shipping.texts import Texts
from alembic_pgpipe.source.quoting import identifier, literal

FACTS = """
SELECT pg_catalog.format_type(typbasetype, typtypmod) || ' ' || typcollation AS base,
    typnotnull AS required, pg_catalog.pg_get_expr(typdefaultbin, 0) AS usual, COALESCE((
        SELECT pg_catalog.jsonb_object_agg(conname, pg_catalog.pg_get_constraintdef(oid))
        FROM pg_catalog.pg_constraint WHERE contypid = t.oid AND contype = 'c'), '{}') AS checks
FROM pg_catalog.pg_type AS t WHERE oid = %s
"""
KEEP_COMMENT = """\
SELECT set_config('pgpipe.kept_check_{number}', format(
    'COMMENT ON CONSTRAINT %I ON DOMAIN %s IS %L',
    conname, {domain}, obj_description(oid, 'pg_constraint')), true)
FROM pg_catalog.pg_constraint WHERE contypid = to_regtype({domain}) AND conname = {check};
"""


@dataclass(frozen=True, slots=True)
class Domain:
    """What makes up a domain; ``checks`` are its constraints by name."""

    base: str
    required: bool
    usual: str | None
    checks: Mapping[str, str]


def read_domain(connection: Connection, found: DatabaseObject) -> Domain:
    """Return what makes up a domain that the database holds."""
    with catalogue(connection) as source:
        [row] = source.rows(FACTS, found.address.oid)
    return Domain(row.base, row.required, row.usual, row.checks)


def alterations(texts: Texts, change: RoutineChange) -> str:
    """Return what makes the domain of a file the one that it describes now.

    Raises Declined where the file is not one of a domain that can be altered so.
    """
    stage, old = texts.stage, texts.created_by(change)
    if [one.kind for one in old] != [Kind.DOMAIN] or not change.new:
        raise Declined(None)
    connection = stage.rehearsal.connection
    was = read_domain(connection, old[0])
    with stage.undone():
        stage.command(f"{drop(old[0]).rstrip(';')} CASCADE")
        found = stage.create(change.new, change.path)
        same = [key(one) for one in found] == [key(old[0])]
        new = read_domain(connection, found[0]) if same else was
    statements = altered(old[0].identity, was, new) if same else None
    if statements is None:
        raise Declined(problem(change, "a domain of another name or type is a new one"))
    return statements + without_domain(change.new, change.path)


def altered(identity: str, old: Domain, new: Domain) -> str | None:
    """Return what makes a new domain of an old one; None where its type is another."""
    if old.base != new.base:
        return None
    actions = [*_actions(old, new), *_checks(old, new)]
    alters = "".join(f"ALTER DOMAIN {identity} {action};\n" for action in actions)
    replaced = [name for name, text in old.checks.items() if text != new.checks.get(name, text)]
    kept = "".join(_comment_kept(identity, *check) for check in enumerate(replaced, 1))
    back = "".join(f"{GIVE_BACK.format(f'check_{n}')}\n" for n in range(1, len(replaced) + 1))
    return kept + alters + back


def _comment_kept(identity: str, number: int, name: str) -> str:
    """Return what remembers the comment that a database has on a check, which goes with it."""
    return KEEP_COMMENT.format(number=number, domain=literal(identity), check=literal(name))


def _actions(old: Domain, new: Domain) -> Iterator[str]:
    if old.usual != new.usual:
        yield "DROP DEFAULT" if new.usual is None else f"SET DEFAULT {new.usual}"
    if old.required != new.required:
        yield "SET NOT NULL" if new.required else "DROP NOT NULL"


def _checks(old: Domain, new: Domain) -> Iterator[str]:
    for name, text in old.checks.items():
        if new.checks.get(name) != text:
            yield f"DROP CONSTRAINT {identifier(name)}"
    for name, text in new.checks.items():
        if old.checks.get(name) != text:
            yield f"ADD CONSTRAINT {identifier(name)} {text}"
