"""Objects as texts: what creates one, whose it is, who may use it, what is said of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row

from alembic_pgpipe.objects.catalogue import Catalogue, catalogue
from alembic_pgpipe.objects.creation import read_creations
from alembic_pgpipe.objects.held import Address, DatabaseObject, Kind
from alembic_pgpipe.source.quoting import literal

NO_ARGUMENTS = re.compile(r"\(\*\)\Z")
GIVEN = re.compile(r"GRANT (?P<what>.+) TO (?P<role>.+?)(?: WITH GRANT OPTION)?;\n", re.S)
SAID = re.compile(r" IS E?'.*", re.S)
RELATIONS = (Kind.VIEW, Kind.MATERIALIZED_VIEW)
# Grantee, column and privilege.
_Key: TypeAlias = tuple[str, str | None, str]


@dataclass(frozen=True, slots=True)
class Definition:
    """What makes an object again: statements, each ended by a semicolon and a line break.

    ``owner`` is the role's name as it is, ``ownership`` the statement that makes it the
    owner; triggers and policies have none.  ``grants`` make its privileges from the default
    ones.  ``held`` are these privileges one by one, and ``usual`` the default ones; where
    nobody has granted or revoked anything on the whole, they have none of it.  ``comment``
    is the text itself; ``part_comments`` are statements for columns, constraints, indexes
    and rules.
    """

    object: DatabaseObject
    create: str
    owner: str | None
    grants: tuple[str, ...]
    comment: str | None
    ownership: str = ""
    part_comments: tuple[str, ...] = ()
    held: frozenset[_Key] = frozenset()
    usual: frozenset[_Key] = frozenset()

    @property
    def shown_owner(self) -> str:
        """Return the owner as a grant has it, or nothing."""
        return self.ownership.rpartition(" OWNER TO ")[2].removesuffix(";\n")

    @property
    def comment_statement(self) -> str:
        """Return the statement that sets the comment, or nothing."""
        if self.comment is None:
            return ""
        said = literal(self.comment)
        return f"COMMENT ON {self.object.kind.value} {self.object.identity} IS {said};\n"

    @property
    def text(self) -> str:
        """Return the whole as one file."""
        return self.text_for(None)

    def text_for(self, user: str | None) -> str:
        """Return the whole as one file that ``user`` runs, who owns it without being told."""
        owner = "" if self.owner == user else self.ownership
        parts = (owner, "".join(self.grants), self.comment_statement, *self.part_comments)
        return "\n".join(filter(None, (self.create, "".join(parts))))


def read_user(connection: Connection) -> str:
    """Return who asks: what belongs to this role needs no owner in a text."""
    return str(connection.exec_driver_sql("SELECT current_user").scalar_one())


def gives_to(grant: str, owners: Container[str]) -> bool:
    """Tell whether one of ``grants`` gives something to one of these owners."""
    match = GIVEN.fullmatch(grant)
    return match is not None and match["role"] in owners


def taken_back(now: Definition, was: Definition, user: str) -> Iterator[str]:
    """Yield what gives an object the owner, privileges and comments again that it had.

    What belonged to ``user``, who runs it, does so again to whoever runs the downgrade.
    """
    if now.owner != was.owner:
        own = _ownership(was.object, was.owner, "CURRENT_USER")
        yield own if was.owner == user else was.ownership
    yield from (_opposite(one) for one in now.grants if one not in was.grants)
    yield from (one for one in was.grants if one not in now.grants)
    if now.comment != was.comment:
        yield was.comment_statement or SAID.sub(" IS NULL;\n", now.comment_statement)
    new = (one for one in now.part_comments if one not in was.part_comments)
    yield from (SAID.sub(" IS NULL;\n", one) for one in new)
    yield from (one for one in was.part_comments if one not in now.part_comments)


def left_standing(was: Definition, new: Definition, now: Definition) -> tuple[str, ...]:
    """Return what takes away from an object what an old text alone has given and said.

    ``was`` and ``new`` are what the two texts make by themselves, ``now`` how it stands.
    """
    comments = (f"{_about(one)} IS NULL;" for one in _comments_left(was, new, now))
    return (*_revoked(was, new, now), *comments)


def _revoked(was: Definition, new: Definition, now: Definition) -> Iterator[str]:
    # Where the new text leaves the whole to the defaults, the server lists nothing for it.
    by_default = all(column is not None for _, column, _ in new.held)
    gives = new.held | was.usual if by_default else new.held
    owners = {was.shown_owner, now.shown_owner}
    lost = ((one, False) for one in (was.held - gives) & now.held if one[0] not in owners)
    for (grantee, column, _), names in _together(lost).items():
        shown = _names(names, column, [])
        yield f"REVOKE {shown} ON {_target(now.object)} FROM {grantee};"


def _comments_left(was: Definition, new: Definition, now: Definition) -> Iterator[str]:
    if now.comment is not None and now.comment == was.comment and new.comment is None:
        yield now.comment_statement
    said = set(map(_about, new.part_comments))
    for one in now.part_comments:
        if one in was.part_comments and _about(one) not in said:
            yield one


def _about(comment: str) -> str:
    return SAID.sub("", comment)


def _opposite(statement: str) -> str:
    """Return what a GRANT or a REVOKE of ours is taken back by."""
    if match := GIVEN.fullmatch(statement):
        return f"REVOKE {match['what']} FROM {match['role']};\n"
    what, _, role = statement.removeprefix("REVOKE ").rpartition(" FROM ")
    return f"GRANT {what} TO {role}"


def read_definitions(
    connection: Connection, objects: Iterable[DatabaseObject]
) -> Mapping[Address, Definition]:
    """Return the definitions of objects; one that is gone by now has none."""
    wanted = tuple(objects)
    with catalogue(connection) as source:
        creations = read_creations(source, wanted)
        about = _About.of(source, wanted)
    return {
        one.address: Definition(
            object=one,
            create=creations[one.address],
            owner=about.owners.get(one.address, (None, ""))[0],
            grants=tuple(_grants(one, about.privileges[one.address])),
            held=_keys(about.privileges[one.address], default=False),
            usual=_keys(about.privileges[one.address], default=True),
            comment=about.comments.get(one.address),
            ownership=_ownership(one, *about.owners.get(one.address, (None, ""))),
            part_comments=tuple(about.part_comments[one.address]),
        )
        for one in wanted
        if one.address in creations
    }


@dataclass(frozen=True, slots=True)
class _About:
    """Owners, privileges and comments of objects."""

    owners: Mapping[Address, tuple[str, str]]
    privileges: Mapping[Address, list[_Privilege]]
    comments: Mapping[Address, str]
    part_comments: Mapping[Address, list[str]]

    @classmethod
    def of(cls, source: Catalogue, wanted: Iterable[DatabaseObject]) -> _About:
        catalogs = [one.address.catalog for one in wanted]
        oids = [one.address.oid for one in wanted]
        owners = {_address(r): (r.owner, r.quoted) for r in source.rows(OWNERS, catalogs, oids)}
        privileges = defaultdict(list)
        for row in source.rows(PRIVILEGES, catalogs, oids):
            privileges[_address(row)].append(_privilege(row))
        comments, parts = {}, defaultdict(list)
        for row in source.rows(COMMENTS, catalogs, oids):
            if row.part is None:
                comments[_address(row)] = row.description
            else:
                said = f"COMMENT ON {row.part} IS {literal(row.description)};\n"
                parts[_address(row)].append(said)
        return cls(owners, privileges, comments, parts)


def _ownership(found: DatabaseObject, owner: str | None, shown: str) -> str:
    if owner is None:
        return ""
    return f"ALTER {found.kind.value} {found.identity} OWNER TO {shown};\n"


def _address(row: Row[Any]) -> Address:
    return Address(row.catalog, row.oid)


@dataclass(frozen=True, slots=True)
class _Privilege:
    """What a grantee has now, or has by default; ``column`` is quoted, as is ``grantee``."""

    grantee: str
    column: str | None
    name: str
    grantable: bool
    is_default: bool


def _privilege(row: Row[Any]) -> _Privilege:
    return _Privilege(row.grantee, row.attribute, row.privilege, row.grantable, row.is_default)


def _keys(privileges: list[_Privilege], *, default: bool) -> frozenset[_Key]:
    return frozenset(
        (p.grantee, p.column, p.name) for p in privileges if p.is_default is default
    )


def _grants(found: DatabaseObject, privileges: list[_Privilege]) -> Iterator[str]:
    """Yield what takes away, then what gives, from the default privileges on."""
    now = {(p.grantee, p.column, p.name): p.grantable for p in privileges if not p.is_default}
    usual = {(p.grantee, p.column, p.name): p.grantable for p in privileges if p.is_default}
    every = sorted({p.name for p in privileges if p.is_default})
    target = _target(found)
    lost = _together((key, False) for key in usual.keys() - now.keys())
    gained = _together((k, g) for k, g in now.items() if k not in usual or g > usual[k])
    for (grantee, column, _), names in lost.items():
        yield f"REVOKE {_names(names, column, every)} ON {target} FROM {grantee};\n"
    for (grantee, column, grantable), names in gained.items():
        option = " WITH GRANT OPTION" if grantable else ""
        yield f"GRANT {_names(names, column, every)} ON {target} TO {grantee}{option};\n"


def _together(
    keys: Iterable[tuple[tuple[str, str | None, str], bool]],
) -> dict[tuple[str, str, bool], list[str]]:
    """Return the privileges of each grantee, column and grant option, in a stable order."""
    found = defaultdict(list)
    for (grantee, column, name), grantable in keys:
        found[grantee, column or "", grantable].append(name)
    return {key: sorted(found[key]) for key in sorted(found)}


def _names(names: list[str], column: str, every: list[str]) -> str:
    if column:
        return ", ".join(f"{name} ({column})" for name in names)
    return "ALL" if names == every else ", ".join(names)


def _target(found: DatabaseObject) -> str:
    """Return what GRANT calls an object; it knows aggregates as functions."""
    if found.kind in RELATIONS:
        return f"TABLE {found.identity}"
    if found.kind is Kind.AGGREGATE:
        return f"FUNCTION {NO_ARGUMENTS.sub('()', found.identity)}"
    return f"{found.kind.value} {found.identity}"


_WANTED = """ROWS FROM (pg_catalog.unnest(%s::pg_catalog.oid[]),
        pg_catalog.unnest(%s::pg_catalog.oid[])) AS w (catalog, oid)"""
_HELD = """
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass::oid AS catalog, oid, proowner AS owner,
        proacl AS acl, 'f'::"char" AS type FROM pg_catalog.pg_proc
    UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid, oid, relowner, relacl, 'r'
    FROM pg_catalog.pg_class
    UNION ALL
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass::oid, oid, typowner, typacl, 'T'
    FROM pg_catalog.pg_type
    UNION ALL
    SELECT 'pg_catalog.pg_event_trigger'::pg_catalog.regclass::oid, oid, evtowner,
        NULL::pg_catalog.aclitem[], NULL
    FROM pg_catalog.pg_event_trigger
"""
OWNERS = f"""
SELECT w.catalog, w.oid, r.rolname AS owner, pg_catalog.quote_ident(r.rolname) AS quoted
FROM {_WANTED}
JOIN ({_HELD}) AS held ON held.catalog = w.catalog AND held.oid = w.oid
JOIN pg_catalog.pg_roles AS r ON r.oid = held.owner
"""
PRIVILEGES = f"""
WITH wanted AS MATERIALIZED (
    SELECT w.catalog, w.oid, held.owner, held.acl, held.type
    FROM {_WANTED}
    JOIN ({_HELD}) AS held ON held.catalog = w.catalog AND held.oid = w.oid
), list AS (
    SELECT catalog, oid, NULL::text AS attribute, acl, false AS is_default
    FROM wanted WHERE acl IS NOT NULL
    UNION ALL
    SELECT catalog, oid, NULL, pg_catalog.acldefault(type, owner), true
    FROM wanted WHERE acl IS NOT NULL
    UNION ALL
    SELECT w.catalog, w.oid, pg_catalog.quote_ident(a.attname), a.attacl, false
    FROM wanted AS w JOIN pg_catalog.pg_attribute AS a ON a.attrelid = w.oid
    WHERE w.type = 'r' AND a.attacl IS NOT NULL AND NOT a.attisdropped
)
SELECT l.catalog, l.oid, l.attribute, l.is_default, e.privilege_type AS privilege,
    COALESCE(pg_catalog.quote_ident(r.rolname), 'PUBLIC') AS grantee,
    pg_catalog.bool_or(e.is_grantable) AS grantable
FROM list AS l CROSS JOIN pg_catalog.aclexplode(l.acl) AS e
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = e.grantee
GROUP BY 1, 2, 3, 4, 5, 6
"""
COMMENTS = f"""
WITH wanted AS MATERIALIZED (SELECT catalog, oid FROM {_WANTED}), part AS (
    SELECT catalog, oid, catalog AS class, oid AS object, 0 AS sub, NULL AS part FROM wanted
    UNION ALL
    SELECT w.catalog, w.oid, w.catalog, w.oid, a.attnum, 'COLUMN '
        || w.oid::pg_catalog.regclass::text || '.' || pg_catalog.quote_ident(a.attname)
    FROM wanted AS w JOIN pg_catalog.pg_attribute AS a ON a.attrelid = w.oid
    WHERE w.catalog = 'pg_catalog.pg_class'::pg_catalog.regclass AND a.attnum > 0
    UNION ALL
    SELECT w.catalog, w.oid, w.catalog, i.indexrelid, 0,
        'INDEX ' || i.indexrelid::pg_catalog.regclass::text
    FROM wanted AS w JOIN pg_catalog.pg_index AS i ON i.indrelid = w.oid
    WHERE w.catalog = 'pg_catalog.pg_class'::pg_catalog.regclass
    UNION ALL
    SELECT w.catalog, w.oid, 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid, 0, 'RULE '
        || pg_catalog.quote_ident(r.rulename) || ' ON ' || w.oid::pg_catalog.regclass::text
    FROM wanted AS w JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = w.oid
    WHERE w.catalog = 'pg_catalog.pg_class'::pg_catalog.regclass
    UNION ALL
    SELECT w.catalog, w.oid, 'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid, 0,
        'CONSTRAINT ' || pg_catalog.quote_ident(c.conname) || ' ON DOMAIN '
        || pg_catalog.format_type(w.oid, NULL)
    FROM wanted AS w JOIN pg_catalog.pg_constraint AS c ON c.contypid = w.oid
    WHERE w.catalog = 'pg_catalog.pg_type'::pg_catalog.regclass
)
SELECT p.catalog, p.oid, p.part, d.description
FROM part AS p JOIN pg_catalog.pg_description AS d
    ON d.classoid = p.class AND d.objoid = p.object AND d.objsubid = p.sub
ORDER BY p.part
"""
