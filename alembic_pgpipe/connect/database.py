"""Connections to the database of a project: each a new one, of the tool's own or a source's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from alembic_pgpipe.access import Access, password_apart
from alembic_pgpipe.aws.iam import IamAuth, iam_apart
from alembic_pgpipe.aws.secret_reference import SecretReference
from alembic_pgpipe.connect import tls, url
from alembic_pgpipe.connect.connection_refusal import connection_refusal
from alembic_pgpipe.connect.connector import (
    APPLICATION,
    PATIENT,
    Connector,
    Listener,
    Waiting,
)
from alembic_pgpipe.connect.credentials import Credentials, Given
from alembic_pgpipe.connect.pooler import Entrance
from alembic_pgpipe.connect.statement_refusal import statement_refusal
from alembic_pgpipe.connect.target import describe
from alembic_pgpipe.connect.tls_probe import explained
from alembic_pgpipe.errors import UPGRADE, SettingsError
from alembic_pgpipe.settings import Settings, in_ci

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
            raise connection_refusal(
                self.engine.url, text, credentials, self.named_in
            ) from error
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
            raise statement_refusal(
                error, engine.url, settings, again, from_aws=database.from_aws
            ) from error


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
        from alembic_pgpipe.scratch.server import scratch_server

        _allow_scratch(settings, environ)
        server = stack.enter_context(scratch_server(folder, environ))
        return Given(Access(server.url())), {}
    reference = url.secret_reference(settings.url, environ)
    if reference is not None:
        return _in_secret(reference, environ), environ
    target, iam = iam_apart(url.database_url(settings.url, environ))
    if iam is not None:
        return _by_token(target, iam, environ), environ
    return Given(Access(*password_apart(target))), environ


# Without AWS nothing that asks it is imported.


def _in_secret(reference: SecretReference, environ: Mapping[str, str]) -> Credentials:
    from alembic_pgpipe.aws.credentials import InSecret
    from alembic_pgpipe.aws.secrets import Aws

    return InSecret(reference, environ, Aws(environ))


def _by_token(target: URL, iam: IamAuth, environ: Mapping[str, str]) -> Credentials:
    from alembic_pgpipe.aws.credentials import ByToken
    from alembic_pgpipe.aws.secrets import Aws

    return ByToken(target, iam, environ, Aws(environ))


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
        "application_name": application,
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
