"""Each connection has the credentials of its moment; a rotation is waited for."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import URL, Dialect
from sqlalchemy.engine import make_url

from alembic_pgpipe.access import Access
from alembic_pgpipe.connect.connector import PAUSES, Connector, Listener, Waiting
from alembic_pgpipe.connect.credentials import Credentials, Given

HERE = make_url("postgresql+psycopg2://app@db:5432/shop")
REFUSED = 'FATAL:  password authentication failed for user "app"'


class RefusedError(Exception):
    """Stands for the driver's error."""


@dataclass
class Server:
    """A driver whose server accepts one password; it notes what it was given."""

    password: str
    says: str = REFUSED
    given: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)

    def connect(self, **keywords: Any) -> object:
        self.given.append(keywords)
        self.seen = {name: value for name, value in os.environ.items() if name[:2] == "PG"}
        if keywords.get("password") != self.password:
            raise RefusedError(self.says)
        return object()

    @property
    def dialect(self) -> Dialect:
        return cast(
            "Dialect",
            SimpleNamespace(
                loaded_dbapi=SimpleNamespace(OperationalError=RefusedError),
                create_connect_args=HERE.get_dialect()().create_connect_args,
                connect=self.connect,
            ),
        )


@dataclass
class Rotated:
    """Credentials of AWS that change each time; the last ones stay."""

    passwords: list[str]
    url: URL = HERE
    from_aws: bool = True
    is_token: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    fetched: int = 0

    def fetch(self) -> Access:
        password = self.passwords[min(self.fetched, len(self.passwords) - 1)]
        self.fetched += 1
        return Access(self.url, password, self.variables)

    def advice(self, user: str) -> str:
        return ""


@dataclass
class Told:
    """What a connector said, hid and slept, in order."""

    events: list[Any] = field(default_factory=list)

    def connector(
        self,
        credentials: Credentials,
        environ: dict[str, str] | None = None,
    ) -> Connector:
        listener = Listener(self.events.append, lambda line: self.events.append("said"))
        waiting = Waiting(sleep=self.events.append)
        return Connector(credentials, environ or {}, lambda url, _: url, listener, waiting)


def test_every_connection_fetches_its_credentials_anew() -> None:
    server, told = Server("two"), Told()
    connector = told.connector(Rotated(["two"] * 2 + ["three"]))
    assert connector.where().password is None
    connector.open(server.dialect)
    connector.open(server.dialect)
    server.password = "three"
    connector.open(server.dialect)
    assert [one["password"] for one in server.given] == ["two", "two", "three"]
    assert told.events == ["two", "two", "three"]


def test_what_was_fetched_to_know_where_is_used_once() -> None:
    credentials = Rotated(["one"])
    connector = Told().connector(credentials)
    connector.where()
    connector.open(Server("one").dialect)
    assert credentials.fetched == 1


def test_newer_credentials_are_waited_for_a_bounded_time_and_told_once() -> None:
    server, told = Server("new"), Told()
    told.connector(Rotated(["old", "old", "old", "new"])).open(server.dialect)
    assert told.events == ["old", "said", 1.0, "old", 2.0, "old", 4.0, "new"]


def test_credentials_that_never_change_are_refused_in_the_end() -> None:
    server, told = Server("new"), Told()
    with pytest.raises(RefusedError):
        told.connector(Rotated(["old"])).open(server.dialect)
    slept = [event for event in told.events if isinstance(event, float)]
    assert slept == list(PAUSES)
    assert told.events.count("said") == 1
    assert len(server.given) == 1 + len(PAUSES)


@pytest.mark.parametrize("says", [REFUSED, 'FATAL:  PAM authentication failed for user "app"'])
def test_a_token_that_is_not_accepted_is_made_anew(says: str) -> None:
    server, told = Server("new", says), Told()
    told.connector(Rotated(["old", "new"])).open(server.dialect)
    assert told.events == ["old", "said", 1.0, "new"]


def test_other_refusals_are_not_waited_for() -> None:
    server, told = Server("new", 'FATAL:  database "shop" does not exist'), Told()
    with pytest.raises(RefusedError):
        told.connector(Rotated(["old", "new"])).open(server.dialect)
    assert told.events == ["old"]


def test_a_password_of_a_url_is_tried_once() -> None:
    server, told = Server("new"), Told()
    with pytest.raises(RefusedError):
        told.connector(Given(Access(HERE, "old"))).open(server.dialect)
    assert told.events == ["old"]


def test_another_database_keeps_the_credentials() -> None:
    server, credentials = Server("two"), Rotated(["two"])
    connector = Told().connector(credentials)
    connector.where()
    connector.elsewhere("other").open(server.dialect)
    assert server.given[0]["dbname"] == "other"
    assert credentials.fetched == 2


def test_libpq_sees_the_variables_of_the_project_before_those_of_the_secret() -> None:
    server = Server("two")
    credentials = Rotated(["two"], variables={"PGSSLMODE": "disable", "PGSSLROOTCERT": "/ca"})
    Told().connector(credentials, {"PGSSLMODE": "require"}).open(server.dialect)
    assert server.seen == {"PGSSLMODE": "require", "PGSSLROOTCERT": "/ca"}
    assert "PGSSLROOTCERT" not in os.environ


def test_a_password_that_is_not_known_is_libpq_s_to_find() -> None:
    server = Server("two")
    with pytest.raises(RefusedError):
        Told().connector(Given(Access(HERE))).open(server.dialect)
    assert "password" not in server.given[0]


def test_nothing_that_is_shown_has_a_password() -> None:
    connector = Told().connector(Rotated(["hidden"]))
    connector.where()
    assert "hidden" not in repr(replaced(connector))


def replaced(connector: Connector) -> Connector:
    """Return the connector without the stub, which shows what it knows."""
    return Connector(
        Given(Access(HERE, "hidden")),
        connector.environ,
        connector.secured,
        connector.listener,
        connector.waiting,
        _unused=connector._unused,
    )
