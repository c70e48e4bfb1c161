"""Ask the server what became of a statement; nothing here changes anything."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, TextClause, text

# The session has the search_path of the source, so that its names mean what they meant there:
# functions and types are qualified, because it may hold others of the same name.
# A role that was set does not see when its own session began: that is its user's to see.
# For one message only, which is a transaction of its own where none is open.
AS_USER = "SET LOCAL ROLE NONE;"
IDENTITY = text(
    f"""{AS_USER}
    SELECT pid, pg_catalog.date_part('epoch', backend_start)::pg_catalog.float8
    FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()
    """
)
# A pooler keeps the process after its client is gone; then it is idle.
AT_WORK = text(
    f"""{AS_USER}
    SELECT 1 FROM pg_catalog.pg_stat_activity
    WHERE pid = :process AND pid <> pg_catalog.pg_backend_pid()
      AND pg_catalog.abs(
          coalesce(pg_catalog.date_part('epoch', backend_start), :since) - :since) < 0.001
      AND coalesce(state, '') <> 'idle'
    """
)
# Each transaction that a process begins has the next number of its own.
TRANSACTION_COUNT = text(
    """
    SELECT pg_catalog.split_part(virtualtransaction, '/', 2)::pg_catalog.int8
    FROM pg_catalog.pg_locks
    WHERE locktype = 'virtualxid' AND pid = pg_catalog.pg_backend_pid()
    """
)
TRANSACTION_ID = text("SELECT pg_catalog.txid_current()")
TRANSACTION_STATUS = text("SELECT pg_catalog.txid_status(:id)")
RELATION = text("SELECT pg_catalog.to_regclass(:name)::pg_catalog.oid")
FOLDED = text("SELECT (pg_catalog.parse_ident(:name))[1]::pg_catalog.name::pg_catalog.text")
INDEX_COLUMNS = """
    SELECT i.indexrelid AS oid, c.relname AS name,
           pg_catalog.format('%I.%I', n.nspname, c.relname) AS shown,
           i.indisvalid AS valid,
           (SELECT pg_catalog.max(p.pid) FROM pg_catalog.pg_stat_progress_create_index AS p
            WHERE p.index_relid = i.indexrelid) AS builder
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
"""
INDEXES = text(f"{INDEX_COLUMNS} WHERE i.indrelid = :table ORDER BY i.indexrelid")
REINDEXED = text(
    f"""
    WITH tables AS (
        SELECT c.oid, c.reltoastrelid FROM pg_catalog.pg_class AS c
        WHERE CASE :kind
            WHEN 'TABLE' THEN c.oid = pg_catalog.to_regclass(:name) OR c.oid IN (
                SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(:name)))
            WHEN 'INDEX' THEN c.oid IN (
                SELECT x.indrelid FROM pg_catalog.pg_index AS x
                WHERE x.indexrelid = pg_catalog.to_regclass(:name) OR x.indexrelid IN (
                    SELECT relid
                    FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(:name))))
            WHEN 'SCHEMA' THEN
                c.relnamespace = pg_catalog.to_regnamespace(:name)::pg_catalog.oid
            ELSE true END)
    {INDEX_COLUMNS}
    WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'
      AND i.indrelid IN (SELECT oid FROM tables UNION ALL SELECT reltoastrelid FROM tables)
    ORDER BY i.indexrelid
    """
)
# PostgreSQL 14 and later detach concurrently; before, no source can have begun it.
DETACHING = text(
    """
    SELECT (pg_catalog.to_jsonb(i) ->> 'inhdetachpending')::pg_catalog.bool
    FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = :partition
    """
)
OBJECTS = {
    "INDEX": RELATION,
    "DATABASE": text("SELECT oid FROM pg_catalog.pg_database WHERE datname = :name"),
    "TABLESPACE": text("SELECT oid FROM pg_catalog.pg_tablespace WHERE spcname = :name"),
    "SUBSCRIPTION": text(
        """
        SELECT s.oid FROM pg_catalog.pg_subscription AS s
        JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
        WHERE s.subname = :name AND d.datname = pg_catalog.current_database()
        """
    ),
}
STILL_THERE = {
    "INDEX": text("SELECT 1 FROM pg_catalog.pg_class WHERE oid = :oid"),
    "DATABASE": text("SELECT 1 FROM pg_catalog.pg_database WHERE oid = :oid"),
    "TABLESPACE": text("SELECT 1 FROM pg_catalog.pg_tablespace WHERE oid = :oid"),
    "SUBSCRIPTION": text("SELECT 1 FROM pg_catalog.pg_subscription WHERE oid = :oid"),
}


@dataclass(frozen=True, slots=True)
class Index:
    """An index as the server has it; ``builder`` is the process that builds it now."""

    oid: int
    name: str
    shown: str
    valid: bool
    builder: int | None


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Questions to the server, on the connection that the source runs on."""

    connection: Connection

    def identity(self) -> tuple[int, float]:
        """Return the number of the connection's server process, and when it began."""
        process, since = self.connection.execute(IDENTITY).one()
        return int(process), float(since)

    def at_work(self, process: int, since: float) -> bool:
        """Return whether a server process still works for a client."""
        return self._value(AT_WORK, process=process, since=since) is not None

    def transaction_count(self) -> int:
        """Return how many transactions the connection's server process has begun."""
        return self._value(TRANSACTION_COUNT) or 0

    def transaction_id(self) -> int:
        """Return the id of the open transaction."""
        return int(self._value(TRANSACTION_ID) or 0)

    def transaction_status(self, id_: int) -> str | None:
        """Return how a transaction ended; None where the server has forgotten it."""
        status: str | None = self.connection.scalar(TRANSACTION_STATUS, {"id": id_})
        return status

    def relation(self, name: str) -> int | None:
        """Return the oid of a table or an index by its name as it is written."""
        return self._value(RELATION, name=name)

    def folded(self, name: str) -> str:
        """Return an identifier as the catalogs have it."""
        return str(self.connection.scalar(FOLDED, {"name": name}))

    def indexes(self, table: int | None) -> tuple[Index, ...]:
        """Return the indexes of a table."""
        found = self.connection.execute(INDEXES, {"table": table})
        return tuple(Index(*values) for values in found)

    def half_reindexed(self, kind: str, name: str) -> tuple[Index, ...]:
        """Return what REINDEX CONCURRENTLY has left on the tables of a REINDEX."""
        found = self.connection.execute(REINDEXED, {"kind": kind, "name": name})
        return tuple(Index(*values) for values in found)

    def detaching(self, partition: int | None) -> bool | None:
        """Return whether a partition is half detached; None where it is no partition."""
        half: bool | None = self.connection.scalar(DETACHING, {"partition": partition})
        return half

    def find(self, kind: str, name: str) -> int | None:
        """Return the oid of an index, a database, a tablespace or a subscription."""
        return self._value(OBJECTS[kind], name=name if kind == "INDEX" else self.folded(name))

    def is_there(self, kind: str, oid: int) -> bool:
        """Return whether such an object still exists."""
        return self._value(STILL_THERE[kind], oid=oid) is not None

    def _value(self, question: TextClause, **values: object) -> int | None:
        value: int | None = self.connection.scalar(question, values)
        return value
