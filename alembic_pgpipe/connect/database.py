"""Connections to the database, and a sentence for each way in which one is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from alembic_pgpipe.connect import secrets, url
from alembic_pgpipe.errors import LedgerError, PgpipeError, SettingsError, UnreachableError
from alembic_pgpipe.settings import Settings, in_ci

# application_name holds 63 bytes; whoever waits for the lock reads the build from it.
APPLICATION = "alembic-pgpipe"
NAME_LIMIT = 63
INSUFFICIENT_PRIVILEGE = "42501"
READ_ONLY = "25006"
# Connection exceptions, and a backend or a server that was told to stop.
LOST_CONNECTION = ("08", "57P")
# Temporary tables come last: they would hide everything else.
OWN_SEARCH_PATH = "pg_catalog, pg_temp"
# Time-outs, and the major version of the server that knows them first.
TIME_OUTS: Mapping[str, int] = MappingProxyType(
    {
        "statement_timeout": 0,
        "lock_timeout": 0,
        "idle_in_transaction_session_timeout": 0,
        "idle_session_timeout": 14,
        "transaction_timeout": 17,
    }
)
CONNECT_ARGUMENTS: Mapping[str, object] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "client_encoding": "utf8",
    "application_name": APPLICATION,
}


@dataclass(frozen=True, slots=True)
class Database:
    """The database of this project and environment; each connection is a new one.

    Of libpq's variables a connection sees those in ``environ``.
    """

    engine: Engine
    environ: Mapping[str, str]
    role: str | None = None

    @contextmanager
    def connect(
        self, application: str = APPLICATION, *, autocommit: bool = False, own: bool = True
    ) -> Iterator[Connection]:
        """Open one connection; raises UnreachableError where the server refuses it.

        ``own`` is for the tool's own statements: no search path can put something else
        in the place of PostgreSQL's functions, types and operators.  Sources need the
        search path that their database or role was given.
        """
        try:
            connection = self.engine.connect()
        except DBAPIError as error:
            raise UnreachableError(refusal(self.engine.url, str(error.orig))) from error
        with connection:
            if autocommit:
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            _introduce(connection, application, self.role, OWN_SEARCH_PATH if own else None)
            yield connection

    def elsewhere(self, name: str) -> Database:
        """Return another database of the same server, under the same user."""
        engine = _engine(self.engine.url.set(database=name), self.environ)
        return Database(engine, self.environ, self.role)

    @property
    def label(self) -> str:
        """Return ``database at host:port as user`` without any secret."""
        return describe(self.engine.url)


@contextmanager
def open_database(settings: Settings, environ: Mapping[str, str]) -> Iterator[Database]:
    """Resolve the URL and give the database; a scratch server runs as long as it is used.

    Raises SettingsError for a URL that cannot be used, UnreachableError where a secret,
    the scratch server or the connection cannot be had, and LedgerError where the server
    refuses a statement of the tool's own.
    """
    with ExitStack() as stack:
        resolved, seen = _resolve(settings, environ, stack)
        engine = _engine(resolved, seen)
        try:
            yield Database(engine, seen, settings.role)
        except DBAPIError as error:
            raise _server_refusal(error, engine.url, settings) from error


def _resolve(
    settings: Settings, environ: Mapping[str, str], stack: ExitStack
) -> tuple[URL, Mapping[str, str]]:
    """Return the URL, and the variables that may complete it: none for a scratch server."""
    folder = url.scratch_folder(settings.url, settings.project)
    if folder is not None:
        from alembic_pgpipe.connect.server import scratch_server

        _allow_scratch(settings, environ)
        return stack.enter_context(scratch_server(folder, environ)).url(), {}
    secret = url.secret_name(settings.url, environ)
    if secret is not None:
        return secrets.resolve(secret, environ), environ
    return url.database_url(settings.url, environ), environ


def _allow_scratch(settings: Settings, environ: Mapping[str, str]) -> None:
    if in_ci(environ) and not settings.scratch_in_ci:
        raise SettingsError(
            "sqlalchemy.url is scratch://, a throwaway server, and this is a CI build: what it "
            "applies is gone afterwards. Name the real database, or set "
            "pgpipe.scratch_in_ci = true if a rehearsal is what you want."
        )


def _engine(target: URL, environ: Mapping[str, str]) -> Engine:
    engine = create_engine(target, poolclass=NullPool)

    @event.listens_for(engine, "do_connect")
    def connect(
        dialect: Dialect, _record: object, args: tuple[Any, ...], kw: dict[str, Any]
    ) -> object:
        with _seen_by_libpq(environ):
            return dialect.connect(*args, **{**CONNECT_ARGUMENTS, **kw})

    return engine


@contextmanager
def _seen_by_libpq(environ: Mapping[str, str]) -> Iterator[None]:
    """Let libpq, which asks the process for its variables, see those in ``environ``."""
    before, wanted = _of_libpq(os.environ), _of_libpq(environ)
    _exchange(os.environ, before, wanted)
    try:
        yield
    finally:
        _exchange(os.environ, wanted, before)


def _of_libpq(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith("PG")}


def _exchange(
    variables: MutableMapping[str, str], old: Mapping[str, str], new: Mapping[str, str]
) -> None:
    for name in old.keys() - new.keys():
        del variables[name]
    variables.update(new)


def _introduce(
    connection: Connection, application: str, role: str | None, search_path: str | None
) -> None:
    settings = {
        "application_name": application[:NAME_LIMIT],
        "role": role,
        "search_path": search_path,
    }
    for name, value in settings.items():
        if value is not None:
            connection.exec_driver_sql(
                "SELECT pg_catalog.set_config(%s, %s, false)", (name, value)
            )
    connection.exec_driver_sql(_without_limits(connection.dialect.server_version_info or (0,)))
    connection.commit()


def _without_limits(version: tuple[int | str, ...]) -> str:
    """Return what takes away the time-outs that were given to the role or the database.

    They are meant for applications; a lock is held, and a journal kept, for as long as a
    run takes.
    """
    known = [name for name, since in TIME_OUTS.items() if int(version[0]) >= since]
    return "".join(f"SET {name} = 0;" for name in known)


def describe(target: URL) -> str:
    """Return what a URL points to, for messages: never its password or its options."""
    environ = os.environ
    host = (
        target.host or target.query.get("host") or environ.get("PGHOST") or "the local socket"
    )
    port = target.port or environ.get("PGPORT") or 5432
    user = target.username or environ.get("PGUSER") or "the default user"
    database = target.database or environ.get("PGDATABASE") or "the default database"
    where = f"{host}:{port}" if not str(host).startswith(("/", "the ")) else str(host)
    return f"database {database} at {where} as {user}"


def refusal(target: URL, text: str) -> str:
    """Return the sentence for a refused connection: what, where, what to type next.

    ``text`` is libpq's own message; it has no SQLSTATE for a connection that failed,
    so its wording decides.
    """
    reason = " ".join(text.split())
    for sign, advice in ADVICE:
        if sign in reason:
            return f"{_sentence(describe(target))} refuses the connection: {reason}. {advice}"
    return (
        f"{_sentence(describe(target))} does not answer: {reason}. Check host, port and "
        "network, then: alembic pgpipe wait --timeout 60"
    )


def _server_refusal(error: DBAPIError, target: URL, settings: Settings) -> PgpipeError:
    """Return the error for a statement of the tool's own that the server refused.

    A source's errors never come here; its step has them.
    """
    reason, code = _reason(error), getattr(error.orig, "pgcode", None)
    if settings.role is not None and f'role "{settings.role}"' in reason:
        return _role_refusal(reason, target, settings.role)
    if code == INSUFFICIENT_PRIVILEGE:
        return LedgerError(
            f"The ledger in schema {settings.schema} is out of reach: {reason}. Let the owner "
            f"run: GRANT {_grant(reason, target, settings.schema)} TO "
            f"{settings.role or _user(target)}; or name another schema in pgpipe.schema."
        )
    if code == READ_ONLY:
        return LedgerError(
            f"The ledger cannot be written: the server is read-only ({reason}). Connect to the "
            "primary server, or end its read-only mode."
        )
    if code is None or code.startswith(LOST_CONNECTION):
        return UnreachableError(
            f"The connection was lost: {reason}. What was committed stays, and the next run "
            "finishes what was interrupted: alembic upgrade head"
        )
    return LedgerError(f"The server refuses a statement of the tool's own: {reason} ({code}).")


def _reason(error: DBAPIError) -> str:
    """Return the server's words without the excerpt of a statement that nobody wrote."""
    diag = getattr(error.orig, "diag", None)
    said = getattr(diag, "message_primary", None) or str(error.orig)
    return " ".join(said.split())


def _role_refusal(reason: str, target: URL, role: str) -> LedgerError:
    return LedgerError(
        f"pgpipe.role cannot be used: {reason}. Let its owner run: GRANT {role} TO "
        f"{_user(target)}; or name another role in pgpipe.role."
    )


def _user(target: URL) -> str:
    return target.username or os.environ.get("PGUSER") or "this user"


def _grant(reason: str, target: URL, schema: str) -> str:
    if "for schema" in reason:
        return f"CREATE, USAGE ON SCHEMA {schema}"
    if "for database" in reason:
        return f"CREATE ON DATABASE {target.database or '…'}"
    if "for sequence" in reason:
        return f"USAGE ON ALL SEQUENCES IN SCHEMA {schema}"
    return f"SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


NO_ROOM = "The server has no free connection; try again, or raise max_connections."
ADVICE = (
    (
        "password authentication failed",
        "Check the user and the password (PGPASSWORD, or the secret).",
    ),
    ("no password supplied", "Set PGPASSWORD, or put the password into the secret."),
    ("does not exist", "Check the name in the URL, or create it."),
    ("no pg_hba.conf entry", "The server's pg_hba.conf does not let this user in from here."),
    ("permission denied for database", "Grant it: GRANT CONNECT ON DATABASE … TO …;"),
    ("too many clients", NO_ROOM),
    ("remaining connection slots", NO_ROOM),
    (
        "too many connections",
        "A run needs three connections at once: end others, or raise the CONNECTION LIMIT.",
    ),
    ("starting up", "Wait for it: alembic pgpipe wait --timeout 60"),
    (
        "invalid connection option",
        "Remove that parameter from the URL's query; libpq does not know it.",
    ),
)
