"""What a source leaves in its session, taken down as it goes.

The server is asked, and not the source's text: a function may have set it, and a rollback
may have taken it back.  What was set, ``pg_settings`` tells by its ``source``; the role and
the authorization, which it does not show, are always told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text

from alembic_pgpipe.model import Remnant, RemnantKind
from alembic_pgpipe.outside.effects import plain_text, set_by
from alembic_pgpipe.source.reader import Statement

# No view tells of a setting that no library has defined: only who knows its name can ask.
CUSTOM = re.compile(
    r"\bSET\s+(?:SESSION\s+)?(?P<name>(?:[\w$]+|\"\w+\")(?:\.(?:[\w$]+|\"\w+\"))+)\s*(?:=|TO\b)"
    r"|\bset_config\s*\(\s*(?:E?'+|\$\w*\$)(?P<config>[\w$]+(?:\.\w[\w$]*)+?)(?:'|\$\w*\$)",
    re.IGNORECASE,
)
# A source may call a function that sets one.
BODIES = text(
    r"""
    SELECT prosrc FROM pg_catalog.pg_proc
    WHERE pronamespace OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.regnamespace
    AND prosrc OPERATOR(pg_catalog.~*)
        '\mset_config\s*\(|\mset\s+(session\s+)?[\w$"]+\.[\w$"]+\s*(=|to\M)'
    """
)
# What there is by kind and name, and its value.
State = Mapping[tuple[RemnantKind, str], str | None]
# The sequence of a temporary table's own column goes without saying.
STATE = text(
    f"""
    SELECT '{RemnantKind.SETTING.value}', name, setting
    FROM pg_catalog.pg_settings WHERE source = 'session'
    UNION ALL SELECT '{RemnantKind.SETTING.value}', 'session_authorization', session_user
    UNION ALL SELECT '{RemnantKind.SETTING.value}', 'role', pg_catalog.current_setting('role')
    UNION ALL SELECT '{RemnantKind.SETTING.value}', name,
        pg_catalog.current_setting(name, true)
    FROM pg_catalog.unnest(CAST(:custom AS pg_catalog.text[])) AS name
    UNION ALL SELECT '{RemnantKind.LOCK.value}',
        pg_catalog.concat_ws(' ', objsubid, classid, objid, mode), mode
    FROM pg_catalog.pg_locks
    WHERE locktype = 'advisory' AND granted AND pid = pg_catalog.pg_backend_pid()
    UNION ALL SELECT '{RemnantKind.OBJECT.value}', c.relname, CASE c.relkind
        WHEN 'v' THEN 'temporary view' WHEN 'S' THEN 'temporary sequence'
        ELSE 'temporary table' END
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = pg_catalog.pg_my_temp_schema() AND c.relkind IN ('r', 'p', 'v', 'S')
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend AS d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
            AND d.refobjsubid > 0)
    UNION ALL SELECT '{RemnantKind.OBJECT.value}', name, 'prepared statement'
    FROM pg_catalog.pg_prepared_statements WHERE from_sql
    UNION ALL SELECT '{RemnantKind.OBJECT.value}', name, 'cursor'
    FROM pg_catalog.pg_cursors WHERE is_holdable
    """
)
# A role is only what it is behind its authorization.
IDENTITY = ("session_authorization", "role")
AUTHORIZATION = (RemnantKind.SETTING, "session_authorization")


@dataclass(slots=True)
class InSession:
    """What a source has left in its session so far.

    ``gone`` is what had ended with the session before it, ``owed`` what the next statements
    have to set themselves.  ``is_seen``: the server was asked within the transaction that is
    still open or was the last, and nothing had changed.
    """

    connection: Connection
    is_secret: Callable[[str], bool]
    custom: frozenset[str]
    first: State
    known: State
    is_seen: bool = False
    gone: tuple[Remnant, ...] = ()
    owed: tuple[Remnant, ...] = ()

    @classmethod
    def of(
        cls,
        connection: Connection,
        statements: Iterable[Statement],
        is_secret: Callable[[str], bool],
    ) -> InSession:
        """Return what is there before a source has run, outside a transaction."""
        texts = (plain_text(statement.text) for statement in statements)
        custom = custom_settings([*texts, *connection.scalars(BODIES)])
        first = state_of(connection, custom)
        return cls(connection, is_secret, custom, first, first)

    def look(self) -> None:
        """Ask the server what there is now."""
        self.known = state_of(self.connection, self.custom)

    def look_ahead(self) -> tuple[Remnant, ...] | None:
        """Return what a commit will leave, where that is not what there was, else None."""
        before = self.known
        self.look()
        self.is_seen = self.known == before
        return None if self.is_seen else tuple(self.left())

    def left(self) -> list[Remnant]:
        """Return what there is of the source's own, or was, and is gone."""
        left = list(remnants(self.first, self.known, self.is_secret))
        made = {(one.kind, one.name) for one in left}
        more = (*self.gone, *self.owed)
        return left + [one for one in more if (one.kind, one.name) not in made]

    def forget(self, statement: Statement) -> None:
        """Take note that a statement is done: it owes nothing, and the next is not seen."""
        done = set_by([statement])
        self.owed = tuple(one for one in self.owed if one.name.lower() not in done)
        self.is_seen = False


def custom_settings(texts: Iterable[str]) -> frozenset[str]:
    """Return the names of settings that texts speak of, of those that no library defines."""
    return frozenset(
        (match["name"] or match["config"]).replace('"', "")
        for text in texts
        for match in CUSTOM.finditer(text)
    )


def state_of(connection: Connection, custom: Collection[str]) -> State:
    """Return what a session has of its own; within a transaction, what that has as well."""
    rows = connection.execute(STATE, {"custom": list(custom)})
    return {(RemnantKind(kind), name): value for kind, name, value in rows}


def remnants(
    before: State, after: State, is_secret: Callable[[str], bool]
) -> Iterator[Remnant]:
    """Yield what a session has that it did not begin with; a value None was reset.

    A role is told where the authorization changed, because that takes it along.  Of a setting
    that holds a secret only the name is kept.
    """
    identity = {(RemnantKind.SETTING, name) for name in IDENTITY}
    changed = {key for key in {**before, **after} if before.get(key) != after.get(key)}
    if AUTHORIZATION in changed:
        changed |= identity
    for kind, name in changed:
        value = after.get((kind, name))
        if kind is RemnantKind.SETTING and value is not None and is_secret(value):
            yield Remnant(RemnantKind.SECRET, name)
        elif kind is RemnantKind.SETTING or value is not None:
            yield Remnant(kind, name, value)
