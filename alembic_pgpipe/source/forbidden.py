"""Which statements cannot run in a transaction, on PostgreSQL 14 to 18.

As psql does, the kind of a statement is decided from its leading keywords, and from its
options where those decide.  What only the server can know, such as whether a table is
partitioned, is left to the server.
"""

from __future__ import annotations

import re

from alembic_pgpipe.source.reader import Statement, without_comments

OUTSIDE_DATABASES = frozenset({"DATABASE", "TABLESPACE"})
WHOLE_OBJECTS = frozenset({"DATABASE", "SYSTEM", "SCHEMA"})
CLUSTER_ALL = re.compile(r"CLUSTER\s*(?:VERBOSE\b|\([^)]*\))?\s*;?\s*\Z", re.I | re.A)
REINDEX = re.compile(r"REINDEX\s*(?:\(([^)]*)\))?\s*(\w+)(\s+CONCURRENTLY\b)?", re.I | re.A)
DETACH = re.compile(r"\bDETACH\s+PARTITION\b.+\bCONCURRENTLY\s*;?\s*\Z", re.I | re.A | re.S)
LAST_OPTIONS = re.compile(r"\(([^()]*)\)\s*;?\s*\Z")
OPTION = re.compile(r"""(?:\A|,)\s*"?(\w+)"?\s*(?:=\s*)?['"]?(\w*)""", re.A)
REFRESHING = frozenset({"SET", "ADD", "DROP"})
FALSE = frozenset({"false", "off", "0"})


def forbidden_in_transaction(statement: Statement) -> str | None:
    """Return the name of a statement that cannot run in a transaction, else None."""
    first = statement.words[0] if statement.words else ""
    if first == "VACUUM":
        return "VACUUM"
    if first in ("CREATE", "DROP"):
        return _create_or_drop(statement)
    if first == "ALTER":
        return _alter(statement)
    if first == "REINDEX":
        return _reindex(statement)
    if first == "CLUSTER":
        whole = CLUSTER_ALL.match(without_comments(statement))
        return "CLUSTER without a table" if whole else None
    return "DISCARD ALL" if statement.words[:2] == ("DISCARD", "ALL") else None


def _reindex(statement: Statement) -> str | None:
    """Name REINDEX of more than one table, or without locks."""
    match = REINDEX.match(without_comments(statement))
    if match is None:
        return None
    if match[3] or _options(match[1] or "").get("concurrently", "off") not in FALSE:
        return "REINDEX CONCURRENTLY"
    kind = match[2].upper()
    return f"REINDEX {kind}" if kind in WHOLE_OBJECTS else None


def _create_or_drop(statement: Statement) -> str | None:
    """Name CREATE and DROP of databases, tablespaces, subscriptions, and CONCURRENTLY."""
    words = statement.words
    kind = words[2:4] if words[1:2] == ("UNIQUE",) else words[1:3]
    if kind == ("INDEX", "CONCURRENTLY"):
        return f"{words[0]} INDEX CONCURRENTLY"
    what = kind[0] if kind else ""
    if what in OUTSIDE_DATABASES:
        return f"{words[0]} {what}"
    if what == "SUBSCRIPTION" and (words[0] == "DROP" or _creates_slot(statement)):
        return f"{words[0]} SUBSCRIPTION"
    return None


def _creates_slot(statement: Statement) -> bool:
    """Tell whether CREATE SUBSCRIPTION makes a slot on the other server."""
    options = _last_options(statement)
    return not any(options.get(name, "on") in FALSE for name in ("connect", "create_slot"))


def _alter(statement: Statement) -> str | None:
    """Name those forms of ALTER that cannot run in a transaction."""
    words = statement.words
    second = words[1] if len(words) > 1 else ""
    if second == "TABLE":
        # Most ALTER TABLE are something else: look twice only at those that may be it.
        detaches = "CONCURRENTLY" in statement.text.upper() and DETACH.search(
            without_comments(statement)
        )
        return "ALTER TABLE … DETACH PARTITION … CONCURRENTLY" if detaches else None
    if second == "SYSTEM":
        return "ALTER SYSTEM"
    if second == "DATABASE" and "TABLESPACE" in words[3:5]:
        return "ALTER DATABASE SET TABLESPACE"
    return _alter_subscription(statement) if second == "SUBSCRIPTION" else None


def _alter_subscription(statement: Statement) -> str | None:
    """Name ALTER SUBSCRIPTION where it refreshes, or changes the slot."""
    action = statement.words[3:5]
    if action[:1] == ("REFRESH",):
        return "ALTER SUBSCRIPTION with a refresh"
    if action[:1] and action[0] in REFRESHING and action[1:] == ("PUBLICATION",):
        kept = _last_options(statement).get("refresh", "on") in FALSE
        return None if kept else "ALTER SUBSCRIPTION with a refresh"
    if action != ("SET",):
        return None
    options = _last_options(statement)
    if "failover" in options:
        return "ALTER SUBSCRIPTION SET (failover)"
    # Switching it on changes no slot before the subscription is enabled again.
    off = options.get("two_phase", "on") in FALSE
    return "ALTER SUBSCRIPTION SET (two_phase = false)" if off else None


def _last_options(statement: Statement) -> dict[str, str]:
    """Return the options in the parentheses that end a statement."""
    match = LAST_OPTIONS.search(without_comments(statement))
    return _options(match[1]) if match else {}


def _options(text: str) -> dict[str, str]:
    """Return options and their values in small letters; the last of a name counts."""
    return {name.lower(): value.lower() for name, value in OPTION.findall(text)}
