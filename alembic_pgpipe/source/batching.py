"""Which statements may share a message with others when a batch is replayed.

A failed batch is sent again in smaller parts to find the statement at fault.  Statements
that end at once can be sent together; one that may run long, or that changes how the
rest of a message is read or run, goes alone.  Whatever is not known goes alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from alembic_pgpipe.source.forbidden import forbidden_in_transaction
from alembic_pgpipe.source.reader import Statement

LIGHT = frozenset({"COMMENT", "GRANT", "REVOKE"})
# What may stand between CREATE and the kind of thing that is made.
CREATE_NOISE = frozenset(
    {
        *("OR", "REPLACE", "GLOBAL", "LOCAL", "TEMP", "TEMPORARY", "UNLOGGED", "RECURSIVE"),
        "CONSTRAINT",
    }
)
CREATED = frozenset(
    {
        *("FUNCTION", "PROCEDURE", "AGGREGATE", "VIEW", "TRIGGER", "RULE", "POLICY"),
        *("SEQUENCE", "SCHEMA", "DOMAIN", "TYPE", "ROLE", "USER", "GROUP"),
    }
)
DROPPED = frozenset(
    {
        *("FUNCTION", "PROCEDURE", "ROUTINE", "AGGREGATE", "VIEW", "MATERIALIZED", "TABLE"),
        *("TRIGGER", "RULE", "POLICY", "SEQUENCE", "SCHEMA", "DOMAIN", "TYPE", "INDEX"),
        *("EXTENSION", "OPERATOR", "CAST", "FOREIGN", "ROLE", "USER", "GROUP"),
    }
)
SCOPES = frozenset({"LOCAL", "SESSION"})
# Settings that change the text behind them, whose rights it has, or how long it may take.
LOUD_SETTINGS = frozenset(
    {
        *("STANDARD_CONFORMING_STRINGS", "BACKSLASH_QUOTE", "CLIENT_ENCODING", "NAMES"),
        *("TRANSACTION", "CONSTRAINTS", "CHARACTERISTICS", "ROLE", "AUTHORIZATION", "ALL"),
        *("TRANSACTION_ISOLATION", "TRANSACTION_READ_ONLY", "TRANSACTION_DEFERRABLE"),
        *("STATEMENT_TIMEOUT", "LOCK_TIMEOUT", "IDLE_IN_TRANSACTION_SESSION_TIMEOUT"),
        *("TRANSACTION_TIMEOUT", "SESSION_AUTHORIZATION"),
    }
)
_NAME = r'(?:"[^"]+"|[\w$]+)(?:\s*\.\s*(?:"[^"]+"|[\w$]+))*'
ROWS = re.compile(
    rf"INSERT\s+INTO\s+{_NAME}\s*(?:\([^()]*\)\s*)?"
    r"(?:OVERRIDING\s+\w+\s+VALUE\s+)?(?:DEFAULT\s+)?VALUES\b",
    re.I,
)
# In a string these words mean nothing, but then alone is merely slower.
QUERY = re.compile(
    r"[()]\s*(?:SELECT|WITH|TABLE|VALUES|EXECUTE|UNION|INTERSECT|EXCEPT)\b", re.I | re.A
)
TABLE_AS = re.compile(r"(?<!ALWAYS)(?<!DEFAULT)\s+AS\b|\)AS\b|\*/AS\b", re.I | re.A)
PARTITION = re.compile(r"\bPARTITION\s+OF\b", re.I | re.A)
_ACTION = (
    rf"(?:OWNER\s+TO\s+{_NAME}|OWNED\s+BY\s+{_NAME}|SET\s+SCHEMA\s+{_NAME}"
    rf"|RENAME\s+(?:(?:COLUMN\s+|CONSTRAINT\s+)?{_NAME}\s+)?TO\s+{_NAME}"
    rf"|ALTER\s+(?:COLUMN\s+)?{_NAME}\s+(?:SET\s+DEFAULT\s[^,;]*|DROP\s+DEFAULT)"
    r"|(?:ENABLE|DISABLE|(?:NO\s+)?FORCE)\s+ROW\s+LEVEL\s+SECURITY)"
)
# One action only: a second one, behind a comma, may rewrite the table.
LIGHT_ALTER = re.compile(
    r"ALTER\s+(?:TABLE|SEQUENCE|VIEW|MATERIALIZED\s+VIEW|INDEX|TYPE|DOMAIN|SCHEMA|FUNCTION"
    r"|PROCEDURE|ROUTINE|AGGREGATE|FOREIGN\s+TABLE)\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?"
    rf"{_NAME}\s*(?:\([^()]*\)\s*)?{_ACTION}\s*;?\s*\Z",
    re.I,
)


# With IF NOT EXISTS the table may be there already, and be large.
NEW_TABLE = re.compile(
    rf"CREATE\s+(?:(?:GLOBAL|LOCAL|TEMP|TEMPORARY|UNLOGGED)\s+)*TABLE\s+(?!IF\b)({_NAME})", re.I
)
INDEXED = re.compile(
    rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY\b)(?:IF\s+NOT\s+EXISTS\s+)?"
    rf"(?:(?!ON\b){_NAME}\s+)?ON\s+(?:ONLY\s+)?({_NAME})",
    re.I,
)


def may_share(statement: Statement) -> bool:
    """Tell whether a statement may be sent in one message with its neighbours."""
    if not statement.words or statement.data is not None:
        return False
    first = statement.words[0]
    judge = JUDGES.get(first)
    return first in LIGHT if judge is None else judge(statement)


def new_table(statement: Statement) -> str | None:
    """Return the name, as it is written, of the table that a statement creates."""
    found = NEW_TABLE.match(statement.text, statement.lead)
    return found[1] if found is not None else None


def indexed_table(statement: Statement) -> str | None:
    """Return the name, as it is written, of the table that a statement gives an index.

    An index of a table that has no rows yet is there at once.
    """
    found = INDEXED.match(statement.text, statement.lead)
    return found[1] if found is not None else None


def _inserts_values(statement: Statement) -> bool:
    """Tell an INSERT of rows that stand in the text from one that runs a query."""
    rows = ROWS.match(statement.text, statement.lead)
    return rows is not None and QUERY.search(statement.text, rows.end()) is None


def _creates_lightly(statement: Statement) -> bool:
    """Tell whether CREATE makes something that holds no rows yet."""
    kinds = (word for word in statement.words[1:] if word not in CREATE_NOISE)
    kind = next(kinds, "")
    if kind != "TABLE":
        return kind in CREATED
    return not TABLE_AS.search(statement.text) and not PARTITION.search(statement.text)


def _drops_lightly(statement: Statement) -> bool:
    """Tell whether DROP removes something that a transaction can give back."""
    kind = statement.words[1] if len(statement.words) > 1 else ""
    return kind in DROPPED and forbidden_in_transaction(statement) is None


def _alters_lightly(statement: Statement) -> bool:
    """Tell whether ALTER changes the catalogue alone."""
    if statement.words[1:3] == ("DEFAULT", "PRIVILEGES"):
        return True
    return LIGHT_ALTER.match(statement.text) is not None


def _sets_quietly(statement: Statement) -> bool:
    """Tell whether SET or RESET leaves the text behind it, and its rights, alone."""
    words = statement.words[1:]
    name = next((word for word in words if word not in SCOPES), "")
    return name != "" and not name.startswith('"') and name not in LOUD_SETTINGS


JUDGES: Mapping[str, Callable[[Statement], bool]] = MappingProxyType(
    {
        "INSERT": _inserts_values,
        "CREATE": _creates_lightly,
        "DROP": _drops_lightly,
        "ALTER": _alters_lightly,
        "SET": _sets_quietly,
        "RESET": _sets_quietly,
    }
)
