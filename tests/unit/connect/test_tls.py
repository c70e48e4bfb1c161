"""Which sslmode and whose certificates hold: URL, options, variables, or the default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from alembic_pgpipe.connect.tls import (
    believed,
    home_root,
    is_readable,
    is_socket,
    secured,
    spoken,
)
from alembic_pgpipe.errors import SettingsError
from alembic_pgpipe.settings import Settings, SslMode

PLACE = "postgresql+psycopg2://app:hidden@db/shop"
SOCKETS = ("postgresql:///shop?host=/run/pg", "postgresql:///shop?host=/a&host=@b")


def asked(
    query: str = "",
    *,
    mode: str | None = None,
    root: str | None = None,
    from_aws: bool = False,
    iam: bool = False,
    home: bool = False,
    environ: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return what a URL asks of libpq about TLS; files below /no do not exist."""
    settings = Settings(
        url="",
        project=Path("/project"),
        sources=Path(),
        routines=Path(),
        sslmode=SslMode(mode) if mode else None,
        sslrootcert=root,
    )

    def readable(path: Path) -> bool:
        return home if path == home_root() else not str(path).startswith("/no")

    url = secured(
        make_url(PLACE + query),
        environ or {},
        settings,
        from_aws=from_aws,
        iam=iam,
        readable=readable,
    )
    assert url.password == "hidden"
    return {name: str(value) for name, value in url.query.items()}


# -- who says so -----------------------------------------------------------------------------


def test_libpqs_own_default_stays() -> None:
    assert asked() == {}
    assert asked(home=True) == {}


def test_an_option_is_told_to_libpq() -> None:
    given = asked(mode="verify-ca", root="/certs/ca.pem")
    assert given == {"sslmode": "verify-ca", "sslrootcert": "/certs/ca.pem"}


def test_the_url_beats_the_options() -> None:
    query = "?sslmode=verify-full&sslrootcert=/url.pem"
    given = asked(query, mode="require", root="/certs/ca.pem")
    assert given == {"sslmode": "verify-full", "sslrootcert": "/url.pem"}


def test_the_options_beat_the_variables() -> None:
    given = asked(
        mode="verify-full",
        root="/certs/ca.pem",
        environ={"PGSSLMODE": "disable", "PGSSLROOTCERT": "/v.pem"},
    )
    assert given == {"sslmode": "verify-full", "sslrootcert": "/certs/ca.pem"}


def test_the_variables_stay_for_libpq_to_read() -> None:
    assert (
        asked(environ={"PGSSLMODE": "require", "PGSSLROOTCERT": "/v.pem", "PGSERVICE": "shop"})
        == {}
    )


def test_an_option_for_the_authorities_alone_asks_for_all_that_they_can_give() -> None:
    given = asked(root="/certs/ca.pem")
    assert given == {"sslmode": "verify-full", "sslrootcert": "/certs/ca.pem"}
    assert asked(root="/certs/ca.pem", environ={"PGSSLMODE": "require"}) == {
        "sslrootcert": "/certs/ca.pem"
    }


@pytest.mark.parametrize("url", SOCKETS)
def test_a_socket_of_this_machine_is_left_as_it_is(url: str) -> None:
    settings = Settings("", Path(), Path(), Path(), sslmode=SslMode.VERIFY_FULL)
    target = make_url(url)
    assert secured(target, {}, settings, from_aws=False, readable=lambda _: False) == target


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        *((url, {}, True) for url in SOCKETS),
        ("postgresql:///shop", {"PGHOST": "/run/pg"}, True),
        ("postgresql:///shop", {"PGHOST": "/run/pg,db"}, False),
        ("postgresql:///shop", {"PGHOST": "/run/pg", "PGSERVICE": "shop"}, False),
        ("postgresql:///shop?service=shop", {"PGHOST": "/run/pg"}, False),
        ("postgresql:///shop?host=/run/pg&service=shop", {}, True),
        ("postgresql:///shop?host=/run/pg", {"PGHOSTADDR": "10.0.0.1"}, False),
        ("postgresql:///shop?host=/run/pg&hostaddr=10.0.0.1", {}, False),
        ("postgresql:///shop?host=/run/pg&host=db", {}, False),
        ("postgresql://db/shop", {"PGHOST": "/run/pg"}, False),
        ("postgresql:///shop", {}, False),
    ],
)
def test_a_socket_is_one_only_where_that_is_sure(
    url: str, environ: dict[str, str], expected: bool
) -> None:
    assert is_socket(make_url(url), environ) is expected


# -- credentials from AWS --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "root", "home", "environ", "mode"),
    [
        ("", None, False, {}, "require"),
        ("", None, True, {}, "verify-full"),
        ("", "/certs/ca.pem", False, {}, "verify-full"),
        ("", "system", False, {}, "verify-full"),
        ("?sslrootcert=/url.pem", None, False, {}, "verify-full"),
        ("", None, False, {"PGSSLROOTCERT": "/v.pem"}, "verify-full"),
    ],
)
def test_credentials_from_aws_travel_over_tls_verified_where_it_can_be(
    query: str, root: str | None, home: bool, environ: dict[str, str], mode: str
) -> None:
    assert asked(query, root=root, home=home, from_aws=True, environ=environ)["sslmode"] == mode


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full", "disable"])
def test_who_names_a_mode_for_credentials_from_aws_gets_it(mode: str) -> None:
    assert asked(mode=mode, home=True, from_aws=True)["sslmode"] == mode
    assert asked(f"?sslmode={mode}", home=True, from_aws=True)["sslmode"] == mode
    # Told to libpq, so that no service file of its own can weaken it.
    assert asked(home=True, from_aws=True, environ={"PGSSLMODE": mode})["sslmode"] == mode


@pytest.mark.parametrize("mode", ["allow", "prefer"])
def test_credentials_from_aws_are_never_left_to_chance(mode: str) -> None:
    with pytest.raises(SettingsError, match=rf"^pgpipe.sslmode is {mode}: .* in plain text"):
        asked(mode=mode, from_aws=True)
    with pytest.raises(SettingsError, match=rf"^PGSSLMODE .* is {mode}: "):
        asked(from_aws=True, environ={"PGSSLMODE": mode})
    with pytest.raises(SettingsError, match=rf"^sslmode in the database's URL is {mode}: "):
        asked(f"?sslmode={mode}", from_aws=True)
    assert asked(mode=mode)["sslmode"] == mode


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_a_token_only_travels_over_tls(mode: str) -> None:
    with pytest.raises(SettingsError, match=rf"pgpipe.sslmode is {mode}, but a token of RDS"):
        asked(mode=mode, from_aws=True, iam=True)
    assert asked(mode="require", from_aws=True, iam=True)["sslmode"] == "require"
    assert asked(from_aws=True, iam=True)["sslmode"] == "require"


# -- what cannot be --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "environ", "said"),
    [
        ("?sslmode=verify_full", {}, "sslmode in the database's URL: 'verify_full' is none of"),
        ("?sslmode=require&sslmode=prefer", {}, "sslmode in the database's URL: "),
        ("", {"PGSSLMODE": "REQUIRE"}, "PGSSLMODE: 'REQUIRE' is none of"),
    ],
)
def test_a_mode_that_libpq_does_not_know_is_named(
    query: str, environ: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        asked(query, environ=environ)
    text = str(refused.value)
    assert text.startswith(said)
    assert "disable, allow, prefer, require, verify-ca, verify-full" in text


def test_the_nearest_mode_is_named() -> None:
    with pytest.raises(SettingsError, match=r"Did you mean verify-full\?$"):
        asked("?sslmode=verify_full")


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_nothing_is_verified_without_an_authority(mode: str) -> None:
    with pytest.raises(SettingsError) as refused:
        asked(mode=mode)
    text = str(refused.value)
    assert text.startswith(f"pgpipe.sslmode is {mode}, but no authority is known")
    assert "pgpipe.sslrootcert" in text
    assert "global-bundle.pem" in text
    assert asked(mode=mode, home=True) == {"sslmode": mode}
    # A service file of libpq's may name one.
    assert asked(mode=mode, environ={"PGSERVICE": "shop"}) == {"sslmode": mode}


@pytest.mark.parametrize(
    ("query", "root", "environ", "said"),
    [
        (
            "?sslrootcert=/no/u.pem",
            None,
            {},
            "sslrootcert in the database's URL names /no/u.pem",
        ),
        ("", "/no/o.pem", {}, "pgpipe.sslrootcert names /no/o.pem"),
        ("", None, {"PGSSLROOTCERT": "/no/v.pem"}, "PGSSLROOTCERT names /no/v.pem"),
    ],
)
@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_authorities_that_are_not_there_are_missed_in_every_mode(
    query: str, root: str | None, environ: dict[str, str], said: str, mode: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        asked(query, root=root, mode=mode, environ=environ)
    text = str(refused.value)
    assert text.startswith(said)
    assert "global-bundle.pem" in text


def test_authorities_that_are_not_there_do_not_matter_in_plain_text() -> None:
    given = asked(mode="disable", root="/no/o.pem")
    assert given == {"sslmode": "disable", "sslrootcert": "/no/o.pem"}


def test_a_file_is_readable_or_it_is_none(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    assert not is_readable(file)
    file.touch()
    assert is_readable(file)
    assert not is_readable(tmp_path)
    assert not is_readable(tmp_path / ("x" * 300))


# -- for people ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "environ", "said"),
    [
        ("", {}, ""),
        ("?sslmode=prefer", {}, ""),
        ("?sslmode=disable", {}, "no TLS"),
        ("?sslmode=require", {}, "TLS require"),
        ("?sslmode=verify-full", {"PGSSLMODE": "disable"}, "TLS verify-full"),
        ("", {"PGSSLMODE": "verify-ca"}, "TLS verify-ca"),
        ("", {"PGSSLMODE": "verify-ca", "PGSERVICE": "shop"}, ""),
    ],
)
def test_what_is_spoken_is_said_where_it_is_sure(
    query: str, environ: dict[str, str], said: str
) -> None:
    assert spoken(make_url(PLACE + query), environ) == said


def test_nothing_is_said_about_a_socket() -> None:
    assert spoken(make_url("postgresql:///shop?host=/run/pg&sslmode=disable"), {}) == ""


def test_who_is_believed_is_the_last_word_of_all() -> None:
    named = make_url(PLACE + "?sslrootcert=/url.pem")
    assert believed(named, {"PGSSLROOTCERT": "/v.pem"}) == "/url.pem"
    assert believed(make_url(PLACE), {"PGSSLROOTCERT": "/v.pem"}) == "/v.pem"
    assert believed(make_url(PLACE), {}) == str(home_root())


def test_an_account_without_a_home_believes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    assert not is_readable(home_root())
