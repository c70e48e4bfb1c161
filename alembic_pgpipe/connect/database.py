"""Connections to the database, and a sentence for each way in which one is refused."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from alembic_pgpipe.connect import tls, tls_refusal, url
from alembic_pgpipe.connect.connector import (
    APPLICATION,
    PATIENT,
    Connector,
    Listener,
    Waiting,
    is_not_accepted,
)
from alembic_pgpipe.connect.credentials import ByToken, Credentials, Given, InSecret
from alembic_pgpipe.connect.pooler import Entrance
from alembic_pgpipe.connect.secret_shape import Access
from alembic_pgpipe.connect.secrets import Aws
from alembic_pgpipe.connect.tls_probe import explained
from alembic_pgpipe.errors import (
    UPGRADE,
    LedgerError,
    PgpipeError,
    SettingsError,
    UnreachableError,
)
from alembic_pgpipe.settings import Settings, in_ci
from alembic_pgpipe.showable import as_sentences

NAME_LIMIT = 63
DEFAULT_PORT = "5432"
# As SQLAlchemy reads one of several; an address of IPv6 has more colons.
HOST_AND_PORT = re.compile(r"[^:]+:[0-9]+")
INSUFFICIENT_PRIVILEGE = "42501"
FUNCTION = re.compile(r"for function (\S+)")
READ_ONLY = "25006"
# A full disk, no memory, a limit of the server's configuration.
NO_RESOURCES = "53"
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
# The server's side of the keepalives: the lock, or a table's, of a machine that has vanished
# without a word is free after a minute.
SERVER_KEEPALIVES: Mapping[str, str] = MappingProxyType(
    {
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "60000",
    }
)


@dataclass(frozen=True, slots=True)
class Database:
    """The database of this project and environment; each connection is a new one.

    Of libpq's variables a connection sees those that it was opened for.  ``again`` is what
    errors say to type next, ``named_in`` what they say has the database's name.
    """

    engine: Engine
    connector: Connector = field(repr=False)
    role: str | None = None
    again: str = UPGRADE
    named_in: str = "the URL"

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
            text = explained(str(error.orig), self.engine.url, self.connector.environ)
            credentials = self.connector.credentials
            raise refusal(self.engine.url, text, credentials, self.named_in) from error
        with connection:
            if autocommit:
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            _introduce(connection, application, self.role, OWN_SEARCH_PATH if own else None)
            yield connection

    def elsewhere(self, name: str, named_in: str = "the URL") -> Database:
        """Return another database of the same server, with the same credentials."""
        connector = self.connector.elsewhere(name)
        engine = _engine(self.engine.url.set(database=name), connector)
        return replace(self, engine=engine, connector=connector, named_in=named_in)

    @property
    def label(self) -> str:
        """Return ``database at host:port as user``, and what TLS gives, without any secret."""
        spoken = tls.spoken(self.engine.url, self.connector.environ)
        return describe(self.engine.url) + (spoken and f" · {spoken}")

    @property
    def from_aws(self) -> bool:
        """Return whether AWS has the credentials, so that they may be another user's soon."""
        return self.connector.credentials.from_aws


@contextmanager
def open_database(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    hide: Callable[[str], None] = lambda secret: None,
    say: Callable[[str], None] = lambda line: None,
    waiting: Waiting = PATIENT,
    again: str = UPGRADE,
) -> Iterator[Database]:
    """Resolve the URL and give the database; a scratch server runs as long as it is used.

    ``hide`` hears of every password and token before it is used, ``say`` of a wait for
    newer ones; ``again`` is what errors say to type next.  Raises SettingsError for a URL
    that cannot be used, UnreachableError where a secret, the scratch server or the
    connection cannot be had, and LedgerError where the server refuses a statement of the
    tool's own.
    """
    if environ.get("PGPASSWORD"):
        hide(environ["PGPASSWORD"])
    with ExitStack() as stack:
        credentials, seen = _resolve(settings, environ, stack)
        secured = partial(
            tls.secured,
            settings=settings,
            from_aws=credentials.from_aws,
            iam=credentials.is_token,
        )
        connector = Connector(credentials, seen, secured, Listener(hide, say), waiting)
        engine = _engine(connector.where(), connector)
        named_in = _where_named(settings, environ)
        database = Database(engine, connector, settings.role, again, named_in)
        try:
            yield database
        except DBAPIError as error:
            raise _server_refusal(error, database, settings) from error


def _where_named(settings: Settings, environ: Mapping[str, str]) -> str:
    """Return what people are told has the names of the user and the database."""
    if url.secret_reference(settings.url, environ) is not None:
        return "the secret" if not settings.url else "the URL and in the secret that it names"
    return "the URL" if settings.url else "PGUSER and PGDATABASE"


def _resolve(
    settings: Settings, environ: Mapping[str, str], stack: ExitStack
) -> tuple[Credentials, Mapping[str, str]]:
    """Return the credentials, and the variables that libpq sees: none of a scratch server's."""
    folder = url.scratch_folder(settings.url, settings.project)
    if folder is not None:
        from alembic_pgpipe.connect.server import scratch_server

        _allow_scratch(settings, environ)
        server = stack.enter_context(scratch_server(folder, environ))
        return Given(Access(server.url())), {}
    reference = url.secret_reference(settings.url, environ)
    if reference is not None:
        return InSecret(reference, environ, Aws(environ)), environ
    target, iam = url.iam_apart(url.database_url(settings.url, environ))
    if iam is not None:
        return ByToken(target, iam, environ, Aws(environ)), environ
    return Given(Access(*url.password_apart(target))), environ


def _allow_scratch(settings: Settings, environ: Mapping[str, str]) -> None:
    if in_ci(environ) and not settings.scratch_in_ci:
        raise SettingsError(
            "sqlalchemy.url is scratch://, a throwaway server, and this is a CI build: what it "
            "applies is gone afterwards. Name the real database, or set "
            "pgpipe.scratch_in_ci = true if a rehearsal is what you want."
        )


def _engine(target: URL, connector: Connector) -> Engine:
    # SQLAlchemy would look for hstore with whatever search path the role has.
    engine = create_engine(
        target,
        poolclass=NullPool,
        use_native_hstore=False,
        # The server cannot read an escaped character in SQL_ASCII.
        json_serializer=lambda value: json.dumps(value, ensure_ascii=False),
    )
    entrance = Entrance(describe(target))

    @event.listens_for(engine, "do_connect")
    def connect(
        dialect: Dialect, record: ConnectionPoolEntry, _args: object, _kw: object
    ) -> object:
        return entrance.admit(lambda: connector.open(dialect), record.info, dialect)

    @event.listens_for(engine, "close")
    def close(driver: object, record: ConnectionPoolEntry) -> None:
        entrance.leave(driver, record.info, engine.dialect)

    return engine


def _introduce(
    connection: Connection, application: str, role: str | None, search_path: str | None
) -> None:
    settings = {
        # The server shows no others, and one in LATIN1 would refuse them.
        "application_name": application.encode("ascii", "replace").decode()[:NAME_LIMIT],
        "role": role,
        "search_path": search_path,
    }
    given = [pair for pair in settings.items() if pair[1] is not None]
    sets = "SELECT pg_catalog.set_config(%s, %s, false);" * len(given)
    limits = without_limits(connection.dialect.server_version_info or (0,))
    limits += "".join(f"SET {name} = {value};" for name, value in SERVER_KEEPALIVES.items())
    connection.exec_driver_sql(sets + limits, tuple(value for pair in given for value in pair))
    connection.commit()


def without_limits(version: tuple[int | str, ...]) -> str:
    """Return what takes away the time-outs that were given to the role or the database.

    They are meant for applications; a lock is held, and a journal kept, for as long as a
    run takes.
    """
    known = [name for name, since in TIME_OUTS.items() if int(version[0]) >= since]
    return "".join(f"SET {name} = 0;" for name in known)


def describe(target: URL) -> str:
    """Return what a URL points to, for messages: never its password or its options."""
    environ = os.environ
    user = target.username or environ.get("PGUSER") or "the default user"
    database = target.database or environ.get("PGDATABASE") or "the default database"
    return f"database {database} at {_where(target, environ)} as {user}"


def _where(target: URL, environ: Mapping[str, str]) -> str:
    """Return the host with its port; of several, of which libpq tries each, all of them."""
    given = target.host or target.query.get("host") or environ.get("PGHOST")
    if not given:
        return "the local socket"
    hosts = _several(given)
    port = target.port and str(target.port)
    ports = _several(port or target.query.get("port") or environ.get("PGPORT") or "")
    if len(ports) != len(hosts):
        ports = ports[:1] * len(hosts)
    return ", ".join(map(_with_port, hosts, ports))


def _several(given: str | tuple[str, ...]) -> list[str]:
    return (given if isinstance(given, str) else ",".join(given)).split(",")


def _with_port(host: str, port: str) -> str:
    if host.startswith("/") or HOST_AND_PORT.fullmatch(host):
        return host
    return f"{host}:{port or DEFAULT_PORT}"


def refusal(
    target: URL, text: str, credentials: Credentials, named_in: str
) -> UnreachableError:
    """Return the error for a refused connection: what, where, what to type next.

    ``text`` is libpq's own message; it has no SQLSTATE for a connection that failed,
    so its wording decides.  No time mends what TLS has against somebody, but for a
    certificate that is not valid yet.
    """
    reason = as_sentences(text).rstrip(".?")
    about_tls = tls_refusal.advice(reason)
    if about_tls is not None:
        said = f"No connection to {describe(target)}: {reason}. {about_tls}"
        return UnreachableError(said, final=not tls_refusal.is_mended_by_time(about_tls))
    refused = f"{_sentence(describe(target))} refuses the connection: {reason}."
    if is_not_accepted(reason):
        return UnreachableError(f"{refused} {credentials.advice(_user(target))}")
    if any(sign in reason for sign in RECOVERING):
        return UnreachableError(f"{refused} {RECOVERS}", recovering=True)
    for sign, advice in ADVICE:
        if sign in reason:
            return UnreachableError(f"{refused} {advice.format(named_in)}")
    return UnreachableError(
        f"{_sentence(describe(target))} does not answer: {reason}. Check host, port and "
        "network, then: alembic pgpipe wait --timeout 60"
    )


def _server_refusal(error: DBAPIError, database: Database, settings: Settings) -> PgpipeError:
    """Return the error for a statement of the tool's own that the server refused.

    A source's errors never come here; its step has them.
    """
    reason, code = _reason(error), getattr(error.orig, "pgcode", None)
    target = database.engine.url
    if settings.role is not None and f'role "{settings.role}"' in reason:
        return _role_refusal(reason, target, settings.role)
    if code == INSUFFICIENT_PRIVILEGE:
        return _privilege_refusal(reason, database, settings)
    if code == READ_ONLY:
        return LedgerError(
            f"The ledger cannot be written: the server is read-only ({reason}). Connect to the "
            "primary server, or end its read-only mode."
        )
    if code is None or code.startswith(LOST_CONNECTION):
        return UnreachableError(
            f"The connection was lost: {reason}. What was committed stays, and the next run "
            f"finishes what was interrupted: {database.again}"
        )
    if code.startswith(NO_RESOURCES):
        return LedgerError(
            f"The server has no room for what the ledger has to keep: {reason} ({code}). What "
            f"was committed stays. Make room there, then: {database.again}"
        )
    return LedgerError(
        f"The server refuses a statement of the tool's own: {reason} ({code}). What was "
        "committed stays. Find what refuses it, such as somebody's trigger, then: "
        f"{database.again}"
    )


def _reason(error: DBAPIError) -> str:
    """Return the server's words without the excerpt of a statement that nobody wrote."""
    diag = getattr(error.orig, "diag", None)
    said = getattr(diag, "message_primary", None) or str(error.orig)
    return as_sentences(said).rstrip(".")


def _role_refusal(reason: str, target: URL, role: str) -> LedgerError:
    grant = f"GRANT {as_identifier(role)} TO {_grantee(target)}"
    return LedgerError(
        f"pgpipe.role cannot be used: {reason}. Let its owner run: {grant}; or name another "
        "role in pgpipe.role."
    )


def _privilege_refusal(reason: str, database: Database, settings: Settings) -> LedgerError:
    target = database.engine.url
    user = as_identifier(settings.role) if settings.role else _grantee(target)
    function = FUNCTION.search(reason)
    if function is not None:
        return _function_refusal(reason, function[1], user, database.again)
    return LedgerError(
        f"The ledger in schema {settings.schema} is out of reach: {reason}. Let the owner "
        f"run: GRANT {_grant(reason, target, settings.schema)} TO {user}; or name another "
        "schema in pgpipe.schema."
        f"{ONE_OWNER if database.from_aws and settings.role is None else ''}"
    )


def _function_refusal(reason: str, name: str, user: str, again: str) -> LedgerError:
    # The server tells no arguments.  Those of ours that share their name are these locks,
    # which are all called with one key.
    arguments = "(bigint)" if "advisory" in name else ""
    return LedgerError(
        f"The server refuses a statement of the tool's own: {reason}. Let a superuser run: "
        f"GRANT EXECUTE ON FUNCTION {name}{arguments} TO {user}; then: {again}"
    )


def _user(target: URL) -> str:
    return target.username or os.environ.get("PGUSER") or "this user"


def _grantee(target: URL) -> str:
    name = target.username or os.environ.get("PGUSER")
    return as_identifier(name) if name else "this user"


def as_identifier(name: str) -> str:
    """Return a name of the server as SQL has it, quoted where it must be."""
    dialect: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return dialect.identifier_preparer.quote(name)


def _grant(reason: str, target: URL, schema: str) -> str:
    schema = as_identifier(schema)
    if "for schema" in reason:
        return f"CREATE, USAGE ON SCHEMA {schema}"
    if "for database" in reason:
        return (
            f"CREATE ON DATABASE {as_identifier(target.database) if target.database else '…'}"
        )
    if "for sequence" in reason:
        return f"USAGE ON ALL SEQUENCES IN SCHEMA {schema}"
    return f"SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


ONE_OWNER = " Where a rotation swaps users, let one role own it all: set pgpipe.role."
NO_ROOM = "The server has no free connection; try again, or raise max_connections."
NO_PORT = "A port is a number up to 65535: mend PGPORT, or the port in the URL or the secret."
RECOVERING = (
    "shutting down",
    "starting up",
    "in recovery mode",
    "not yet accepting connections",
)
RECOVERS = "Wait for it: alembic pgpipe wait --timeout 60"
ADVICE = (
    ("no password supplied", "Set PGPASSWORD, or put the password into the secret."),
    ("does not exist", "Check the name in {}, or create it."),
    (
        "is not permitted to log in",
        "Name another user in {}, or let a superuser run: ALTER ROLE … LOGIN;",
    ),
    (
        "is not currently accepting connections",
        "Somebody has closed it. Let a superuser run: ALTER DATABASE … ALLOW_CONNECTIONS true;",
    ),
    ("invalid port number", NO_PORT),
    ('for connection option "port"', NO_PORT),
    ("pg_hba.conf", "The server's pg_hba.conf does not let this user in from here."),
    ("permission denied for database", "Grant it: GRANT CONNECT ON DATABASE … TO …;"),
    ("too many clients", NO_ROOM),
    ("remaining connection slots", NO_ROOM),
    (
        "too many connections",
        "A run needs three connections at once: end others, or raise the CONNECTION LIMIT.",
    ),
    (
        "unsupported startup parameter",
        "Take it out of the URL and PGOPTIONS, or into PgBouncer's ignore_startup_parameters.",
    ),
    (
        "no more connections allowed",
        "The pooler is full: try again, or raise its max_client_conn.",
    ),
    ("could not write", "Its disk may be full: make room there, then: alembic upgrade head"),
    ("No space left on device", "Make room there, then: alembic upgrade head"),
    (
        "invalid connection option",
        "Remove that parameter from the URL's query; libpq does not know it.",
    ),
)
