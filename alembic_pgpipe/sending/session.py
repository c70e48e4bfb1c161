"""What a source sets is gone before the next step and before our own writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from alembic_pgpipe.connect.connector import APPLICATION
from alembic_pgpipe.connect.database import (
    OWN_SEARCH_PATH,
    SERVER_KEEPALIVES,
    without_limits,
)
from alembic_pgpipe.sending.driver import DriverConnection
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.quoting import literal

if TYPE_CHECKING:
    # Most runs read no source.
    from alembic_pgpipe.source.directives import Directives

# A server that works on a statement does not notice that the client died: without this it
# would go on, and the next run would meet it.  Each with the first version that knows it.
VALUES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "client_connection_check_interval": ("2s", 14),
        "idle_session_timeout": ("0", 14),
        "transaction_timeout": ("0", 17),
        **{name: (value, 12) for name, value in SERVER_KEEPALIVES.items()},
    }
)
# What DISCARD ALL does, for a message that holds more: there it is refused.  It is to be
# committed because UNLISTEN waits for that.
DISCARD_OBJECTS = (
    "DEALLOCATE ALL;CLOSE ALL;UNLISTEN *;SELECT pg_catalog.pg_advisory_unlock_all();"
    "DISCARD PLANS;DISCARD TEMP;DISCARD SEQUENCES;"
)
DISCARD = f"SET SESSION AUTHORIZATION DEFAULT;RESET ALL;{DISCARD_OBJECTS}"
# What SET CONSTRAINTS ALL has set holds to the end of a transaction: each is to be as a new one
# would find it.
AS_DECLARED = """
    SET CONSTRAINTS ALL DEFERRED;
    DO $$
    DECLARE
        names text;
    BEGIN
        SELECT pg_catalog.string_agg(
            DISTINCT pg_catalog.format('%I.%I', nspname, conname), ', '
        ) INTO names
        FROM pg_catalog.pg_constraint AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.connamespace
        WHERE condeferrable AND NOT condeferred
            AND pg_catalog.has_schema_privilege(n.oid, 'USAGE');
        IF names IS NOT NULL THEN
            EXECUTE 'SET CONSTRAINTS ' || names || ' IMMEDIATE';
        END IF;
    END $$;
"""
# What a role or a database may bring along is none of the ledger's business.
UNLIMITED = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;"
# What DISCARD ALL and RESET ALL take back is what the connection was opened with: behind a
# pooler that is the pooler's, and this driver would go on in UTF-8.
OWN_ENCODING = "SET client_encoding = 'UTF8';"
OWN_PATH = f"SET LOCAL search_path = {OWN_SEARCH_PATH};"
# A % in a name is not the place of a parameter.
AS_IT_IS = MappingProxyType({"no_parameters": True})
FORGET = "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL;"
OWN = f"SET application_name = '{APPLICATION}';{OWN_ENCODING}"


@dataclass(frozen=True, slots=True)
class Session:
    """The state of the main connection: whose role, which time-outs."""

    driver: DriverConnection
    settings: Settings

    def prepare(self, directives: Directives | None = None) -> None:
        """Give a step a clean session: the project's values, then the source's own.

        DISCARD ALL drops temporary tables, prepared statements, LISTEN and session
        locks of the step before; it cannot run inside a transaction.
        """
        with self.driver.autocommit():
            self.driver.command("DISCARD ALL")
            self.driver.command(self._prepared(directives))

    def go_on(self, directives: Directives | None = None) -> None:
        """Do what ``leave`` and ``prepare`` do, where several steps share a transaction.

        What the one before has deferred to its commit is done here.
        """
        self.driver.command(
            f"{leaving(self.settings)}{DISCARD_OBJECTS}{AS_DECLARED}{self._prepared(directives)}"
        )

    def around(self, directives: Directives, beginning: str, settling: str) -> tuple[str, str]:
        """Return what stands ahead of BEGIN and of COMMIT where a step is one message.

        It does what ``prepare`` and ``leave`` do.  ``beginning`` and ``settling`` are the
        ledger's parts; the first is committed before the step begins.
        """
        before = f"BEGIN;{DISCARD}{self._ledgers_own()}{beginning}COMMIT;"
        return before + self._prepared(directives), self._left() + settling

    @contextmanager
    def heeding(self, directives: Directives | None) -> Iterator[None]:
        """Use the time-outs of a source that is a part of a step for as long as it takes."""
        if directives is None or not (directives.lock_timeout or directives.statement_timeout):
            yield
            return
        before = self.driver.timeouts
        self.driver.command(_limits(self.settings, directives))
        yield
        # Where it has failed, the step's transaction takes them back.
        for name, value in before.items():
            self.driver.command(f"SET {name} = {value}")

    def between(self) -> None:
        """Take back what a step has set, and use our own search path until the next one.

        Alembic reads its version table, which a step's role may not be allowed to, or its
        time-outs too short for, and with operators that a search path could put something
        else in the place of.
        """
        # Outside a step, a connection that is lost is said as everywhere: by SQLAlchemy.
        self.driver.connection.exec_driver_sql(
            f"{FORGET}{without_limits(self._version)}{self._known()}{role_of(self.settings)}"
            f"{OWN}SET search_path = {OWN_SEARCH_PATH}",
            execution_options=AS_IT_IS,
        )
        self.driver.connection.commit()

    def leave(self, *, transactional: bool = True) -> None:
        """Take a source's role and settings back, inside its transaction if it has one.

        Only then are the ledger's rows written: a SET ROLE, a search path or a
        row-level policy of the source must not decide whether they can be.
        """
        if not transactional:
            # A transaction that begins under its settings may be read-only from the start.
            with self.driver.autocommit():
                self.driver.command("DISCARD ALL")
        self.driver.command(self._left())

    def _prepared(self, directives: Directives | None) -> str:
        return f"{self._known()}{OWN}{entering(self.settings, directives)}"

    def _known(self) -> str:
        """Return what sets those of our values that the server knows."""
        return "".join(
            f"SET {name} = '{value}';"
            for name, (value, since) in VALUES.items()
            if int(self._version[0]) >= since
        )

    @property
    def _version(self) -> tuple[int | str, ...]:
        return self.driver.connection.dialect.server_version_info or (0,)

    def _left(self) -> str:
        limits = without_limits(self._version)
        return leaving(self.settings) + limits + OWN_ENCODING + OWN_PATH

    def _ledgers_own(self) -> str:
        """Return what the ledger's rows are written with in a session that is clean."""
        return f"{UNLIMITED}{role_of(self.settings)}{OWN_ENCODING}{OWN_PATH}"


def entering(settings: Settings, directives: Directives | None) -> str:
    """Return what a step's session begins with: the project's values, then the source's."""
    role = (directives and directives.role) or settings.role
    return (
        f"{_limits(settings, directives)}"
        "SET idle_in_transaction_session_timeout = 0; SET client_min_messages = notice;"
        f"SET standard_conforming_strings = on;{_set_role(role)}"
    )


def _limits(settings: Settings, own: Directives | None) -> str:
    lock = (own and own.lock_timeout) or settings.lock_timeout
    statement = (own and own.statement_timeout) or settings.statement_timeout
    return f"SET lock_timeout = {literal(lock)};SET statement_timeout = {literal(statement)};"


def leaving(settings: Settings) -> str:
    """Return what takes back, inside a step's transaction, what its source has set.

    What the source has deferred to the commit is done first, under its own role and
    settings, as it would be if psql committed there.  The query of a cursor WITH HOLD would
    be run at the commit, under ours.
    """
    return f"SET CONSTRAINTS ALL IMMEDIATE;CLOSE ALL;{FORGET}{UNLIMITED}{role_of(settings)}"


def role_of(settings: Settings) -> str:
    """Return what takes on the project's own role; empty where it has none."""
    return _set_role(settings.role)


def _set_role(role: str | None) -> str:
    return f"SET ROLE {literal(role)};" if role is not None else ""
