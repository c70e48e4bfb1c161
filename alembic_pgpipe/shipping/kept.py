"""What an object has besides its text, carried over to the one that takes its place.

An object that cannot be replaced is dropped and created.  Who owns it, who may use it and
its comments are then those of the database that the revision runs in, not of the one in
which it was written.  Until then they wait as statements in settings that end with the
transaction.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from alembic_pgpipe.objects.held import DatabaseObject, Kind, key
from alembic_pgpipe.source.quoting import identifier, literal

# Whoever is the owner of one, or may use it, may be so of its heir of another kind too.
FAMILIES = (
    {Kind.FUNCTION, Kind.PROCEDURE, Kind.AGGREGATE},
    {Kind.VIEW, Kind.MATERIALIZED_VIEW},
)
ON_TABLE = (Kind.TRIGGER, Kind.POLICY)
# Each kind of object in its own catalogue; of the table's name and its own, the one that
# does not apply is NULL, which finds nothing.
KEEP = """\
-- What this database knows of these besides their text is given to their heirs below.
SELECT set_config('pgpipe.kept_' || n, string_agg(statement, ';' ORDER BY place), true)
FROM (VALUES
    {}
) AS old (n, kind, identity, name, becomes, heir), LATERAL (
    SELECT oid, 'pg_proc' AS catalog, proowner AS owner, proacl AS acl,
        acldefault('f', proowner) AS usual, CASE becomes
            WHEN 'AGGREGATE' THEN 'FUNCTION ' || replace(heir, '(*)', '()')
            ELSE becomes || ' ' || heir END AS granted
    FROM pg_catalog.pg_proc WHERE oid = to_regprocedure(
        CASE WHEN kind IN ('FUNCTION', 'PROCEDURE', 'AGGREGATE') THEN identity END)
    UNION ALL
    SELECT oid, 'pg_class', relowner, relacl, acldefault('r', relowner), 'TABLE ' || heir
    FROM pg_catalog.pg_class WHERE oid = to_regclass(
        CASE WHEN kind IN ('VIEW', 'MATERIALIZED VIEW') THEN identity END)
    UNION ALL
    SELECT oid, 'pg_type', typowner, typacl, acldefault('T', typowner), 'DOMAIN ' || heir
    FROM pg_catalog.pg_type WHERE oid = to_regtype(CASE kind WHEN 'DOMAIN' THEN identity END)
    UNION ALL
    SELECT oid, 'pg_event_trigger', evtowner, NULL, NULL, NULL
    FROM pg_catalog.pg_event_trigger WHERE kind = 'EVENT TRIGGER' AND evtname = name
    UNION ALL
    SELECT oid, 'pg_trigger', NULL, NULL, NULL, NULL FROM pg_catalog.pg_trigger
    WHERE tgname = name AND tgrelid = to_regclass(CASE kind WHEN 'TRIGGER' THEN identity END)
    UNION ALL
    SELECT oid, 'pg_policy', NULL, NULL, NULL, NULL FROM pg_catalog.pg_policy
    WHERE polname = name AND polrelid = to_regclass(CASE kind WHEN 'POLICY' THEN identity END)
) AS found, LATERAL (
    -- What is usual for the old one may not be what its heir gets by default.
    SELECT usual IS NOT NULL AND (
        coalesce(acl, usual) <> usual OR EXISTS (SELECT FROM pg_catalog.pg_default_acl))
) AS told (privileges), LATERAL (
    SELECT 1 AS place, format('ALTER %s %s OWNER TO %s', becomes, heir, owner::regrole)
    WHERE owner::regrole::text <> quote_ident(current_user)
    UNION ALL
    SELECT 2, format('REVOKE ALL ON %s FROM %s', granted, role) FROM (
        SELECT 'PUBLIC' UNION SELECT owner::regrole::text UNION
        SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
        FROM pg_catalog.pg_default_acl, aclexplode(defaclacl)
    ) AS others (role) WHERE told.privileges
    UNION ALL
    SELECT 3, format('GRANT %s ON %s TO %s', privilege_type, granted,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
        || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    FROM aclexplode(CASE WHEN told.privileges THEN coalesce(acl, usual) END)
    UNION ALL
    SELECT 4, format('COMMENT ON %s %s IS %L', becomes, heir, obj_description(oid, catalog))
    WHERE obj_description(oid, catalog) IS NOT NULL
    UNION ALL
    SELECT 5, format('DO %L', format('BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_attribute '
        'WHERE attrelid = %L::pg_catalog.regclass AND attname = %L AND NOT attisdropped) '
        'THEN %s; END IF; END', heir, attname, statement))
    FROM pg_catalog.pg_attribute, LATERAL (
        SELECT format('GRANT %s (%I) ON %s TO %s', privilege_type, attname, heir,
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
            || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        FROM aclexplode(attacl)
        UNION ALL
        SELECT format('COMMENT ON COLUMN %s.%I IS %L', heir, attname,
            col_description(attrelid, attnum))
        WHERE col_description(attrelid, attnum) IS NOT NULL
    ) AS of_column (statement)
    WHERE catalog = 'pg_class' AND attrelid = oid AND NOT attisdropped
    UNION ALL
    -- One that could be read must be readable again, whatever its text says.
    SELECT 6, format('DO %L', format('BEGIN IF NOT (SELECT relispopulated FROM '
        'pg_catalog.pg_class WHERE oid = %L::pg_catalog.regclass) '
        'THEN REFRESH MATERIALIZED VIEW %s; END IF; END', heir, heir))
    FROM pg_catalog.pg_class AS c WHERE catalog = 'pg_class' AND c.oid = found.oid
        AND relkind = 'm' AND relispopulated AND becomes = 'MATERIALIZED VIEW'
) AS kept (place, statement) GROUP BY n;"""
GIVE_BACK = """\
DO $wrap$ BEGIN EXECUTE coalesce(nullif(current_setting('pgpipe.kept_{}', true), ''), 'SELECT');
END $wrap$;"""


@dataclass(frozen=True, slots=True)
class Heir:
    """An object that goes, and the one that takes its place; ``number`` tells them apart."""

    number: int
    old: DatabaseObject
    new: DatabaseObject


def keep(heirs: Iterable[Heir]) -> str:
    """Return the statement that remembers what a database holds of objects that go."""
    rows = ",\n    ".join(map(_row, heirs))
    return KEEP.replace("{}", rows) if rows else ""


def give_back(heir: Heir) -> str:
    """Return the statement that gives an heir what was remembered."""
    return GIVE_BACK.format(heir.number)


def heirs_of(
    drops: Sequence[DatabaseObject], created: Sequence[DatabaseObject], before: Container[str]
) -> Iterator[Heir]:
    """Yield the dropped objects that something takes the place of.

    It is the one of its identity, else the only new one of its name and family of kinds.
    """
    there = {key(one): one for one in created}
    new = [one for one in created if key(one) not in before]
    for number, old in enumerate(drops, 1):
        same = [one for one in new if _namesakes(one, old)]
        if key(old) in there:
            yield Heir(number, old, there[key(old)])
        elif len(same) == 1:
            yield Heir(number, old, same[0])


def without_heirs(
    drops: Iterable[DatabaseObject], heirs: Iterable[Heir], new: Sequence[DatabaseObject]
) -> Iterator[str]:
    """Yield which dropped objects have no heir because there are several to choose from."""
    done = {key(heir.old) for heir in heirs}
    for old in (one for one in drops if key(one) not in done):
        names = ", ".join(one.identity for one in new if _namesakes(one, old))
        if names:
            yield f"{old.identity}: nobody gets its owner, privileges and comment ({names}?)"


def _namesakes(one: DatabaseObject, other: DatabaseObject) -> bool:
    family = next((kinds for kinds in FAMILIES if other.kind in kinds), {other.kind})
    names = (one.schema, one.name, one.relation), (other.schema, other.name, other.relation)
    return one.kind in family and names[0] == names[1]


def drop(old: DatabaseObject) -> str:
    """Return the statement that drops an object where it is there."""
    return f"DROP {old.kind.value} IF EXISTS {old.identity};"


def _row(heir: Heir) -> str:
    kind = heir.old.kind
    identity, name = heir.old.identity, "NULL"
    if kind in ON_TABLE:
        identity, name = _table(heir.old), _literal(heir.old.name)
    elif kind is Kind.EVENT_TRIGGER:
        name = _literal(heir.old.name)
    elif kind is Kind.AGGREGATE:
        # The one way to write an aggregate without arguments that to_regprocedure knows.
        identity = identity.replace("(*)", "()")
    words = (kind.value, identity)
    heirs = (heir.new.kind.value, heir.new.identity)
    texts = (*map(_literal, words), name, *map(_literal, heirs))
    return f"({heir.number}, {', '.join(texts)})"


def _table(found: DatabaseObject) -> str:
    """Return the table in the identity of a trigger or a policy."""
    quoted = identifier(found.name)
    own = quoted if found.identity.startswith(f"{quoted} ON ") else found.name
    return found.identity[len(own) + len(" ON ") :]


def _literal(text: str) -> str:
    # With a plain one it would be refused where standard_conforming_strings is off.
    return f"E{literal(text.replace(chr(92), chr(92) * 2))}" if "\\" in text else literal(text)
