"""Opens connections: each with the credentials of its moment, and libpq's variables."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import URL, Dialect

from alembic_pgpipe.access import Access
from alembic_pgpipe.connect.credentials import Credentials

# Whoever waits for the lock reads the build from application_name, which holds so many bytes.
APPLICATION = "alembic-pgpipe"
NAME_LIMIT = 63
CONNECT_ARGUMENTS: Mapping[str, object] = MappingProxyType(
    {
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        # What was sent and is not acknowledged suspends keepalives.
        "tcp_user_timeout": 60_000,
        "client_encoding": "utf8",
        "application_name": APPLICATION,
    }
)
ANSWER_SECONDS = 10
# A rotation changes the database first and the secret a moment later.
PAUSES = (1.0, 2.0, 4.0, 8.0)
ROTATED = (
    "the server does not accept the credentials from AWS; they may just be rotated: asking for "
    "newer ones, for up to {seconds:g} s"
)
NOT_ACCEPTED = ("password authentication failed", "PAM authentication failed")


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told of credentials: ``hide`` of each before it is used, ``say`` of a wait."""

    hide: Callable[[str], None]
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long newer credentials are waited for, in seconds before each further try.

    ``answer`` are the seconds that a server has to let one try in.
    """

    pauses: Sequence[float] = PAUSES
    sleep: Callable[[float], None] = time.sleep
    answer: int = ANSWER_SECONDS


PATIENT = Waiting()
IMPATIENT = Waiting(pauses=())


@dataclass(frozen=True, slots=True)
class Connector:
    """Opens the connections of one database of a server.

    ``environ`` are the variables that libpq sees; ``secured`` completes what a URL says
    of TLS, given what else the variables say.  ``database`` is another one than the
    credentials name.
    """

    credentials: Credentials
    environ: Mapping[str, str]
    secured: Callable[[URL, Mapping[str, str]], URL]
    listener: Listener
    waiting: Waiting
    database: str | None = None
    # What was fetched to know where the database is, and no connection has used yet.
    _unused: list[Access] = field(default_factory=list, repr=False)

    def where(self) -> URL:
        """Return where connections go to, without a password."""
        access = self._fetch()
        self._unused.append(access)
        return access.url

    def elsewhere(self, database: str) -> Connector:
        """Return what opens connections to another database of the same server."""
        return replace(self, database=database, _unused=[])

    def open(self, dialect: Dialect) -> Any:
        """Open one connection of the driver.

        Where AWS has the credentials and the server does not accept them, they are
        fetched again, for they may just be rotated.  Raises the driver's error.
        """
        pauses = self.waiting.pauses if self.credentials.from_aws else ()
        for number, pause in enumerate(pauses):
            try:
                return self._open(dialect)
            except dialect.loaded_dbapi.OperationalError as error:
                if not is_not_accepted(str(error)):
                    raise
            if number == 0:
                self.listener.say(ROTATED.format(seconds=sum(pauses)))
            self.waiting.sleep(pause)
        return self._open(dialect)

    def _open(self, dialect: Dialect) -> Any:
        access = self._unused.pop() if self._unused else self._fetch()
        arguments, keywords = dialect.create_connect_args(access.url)
        own = {**CONNECT_ARGUMENTS, "connect_timeout": self.waiting.answer}
        keywords = {**own, **keywords}
        if access.password is not None:
            keywords["password"] = access.password
        with _seen_by_libpq({**access.variables, **self.environ}):
            return dialect.connect(*arguments, **keywords)

    def _fetch(self) -> Access:
        access = self.credentials.fetch()
        if access.password is not None:
            self.listener.hide(access.password)
        url = self.secured(access.url, {**access.variables, **self.environ})
        return replace(
            access, url=url if self.database is None else url.set(database=self.database)
        )


def is_not_accepted(text: str) -> bool:
    """Return whether libpq's message says that the credentials are not accepted."""
    return any(sign in text for sign in NOT_ACCEPTED)


@contextmanager
def _seen_by_libpq(environ: Mapping[str, str]) -> Iterator[None]:
    """Let libpq, which asks the process for its variables, see those in ``environ``."""
    before = _of_libpq(os.environ)
    # A CI system sets a variable without a value to nothing, which libpq takes for a mode.
    wanted = {name: value for name, value in _of_libpq(environ).items() if value}
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
