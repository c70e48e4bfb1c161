"""``sqlalchemy.url``, a secret's name, or libpq's variables → one URL for psycopg2."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from alembic_pgpipe.connect.url import (
    database_name,
    database_url,
    scratch_folder,
    secret_reference,
)
from alembic_pgpipe.errors import SettingsError


def plain(url: str, **environ: str) -> str:
    """Return the resolved URL with its password shown."""
    return database_url(url, environ).render_as_string(hide_password=False)


@pytest.mark.parametrize(
    "driver",
    ["", "+psycopg2", "+psycopg", "+asyncpg", "+pg8000", "+psycopg_async", "+psycopg2cffi"],
)
def test_a_url_for_another_driver_is_used_with_psycopg2(driver: str) -> None:
    expected = "postgresql+psycopg2://app:pw@db:5433/shop"
    assert plain(f"postgresql{driver}://app:pw@db:5433/shop") == expected


def test_the_old_scheme_is_read_too() -> None:
    assert plain("postgres://app@db/shop") == "postgresql+psycopg2://app@db/shop"


@pytest.mark.parametrize(
    ("given", "mode"),
    [("require", "require"), ("true", "require"), ("false", "disable"), ("prefer", "prefer")],
)
def test_ssl_of_other_drivers_is_libpqs_sslmode(given: str, mode: str) -> None:
    url = plain(f"postgresql+asyncpg://app@db/shop?ssl={given}")
    assert url == f"postgresql+psycopg2://app@db/shop?sslmode={mode}"


def test_a_password_in_the_query_is_moved_to_where_it_is_hidden() -> None:
    url = database_url("postgresql://app@db/shop?password=hidden&sslmode=require", {})
    assert url.password == "hidden"
    assert "hidden" not in str(url)
    assert dict(url.query) == {"sslmode": "require"}


def test_a_password_keeps_its_odd_characters() -> None:
    assert database_url("postgresql://app:a%40b%2Fc%25@db/shop", {}).password == "a@b/c%"


@pytest.mark.parametrize("dialect", ["mysql", "sqlite", "oracle"])
def test_another_dialect_is_refused_by_name(dialect: str) -> None:
    with pytest.raises(SettingsError, match=f"'{dialect}'; alembic-pgpipe is for PostgreSQL"):
        database_url(f"{dialect}://app@db/shop", {})


def test_the_placeholder_of_alembic_init_is_named() -> None:
    with pytest.raises(SettingsError, match="placeholder that 'alembic init' wrote"):
        database_url("driver://user:pass@localhost/dbname", {})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:hi@dden@db/shop",
        "postgresql://app:hidden@db:port/shop",
        "postgresql//app:hidden@db/shop",
        "hidden",
    ],
)
def test_a_url_that_cannot_be_read_is_not_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        database_url(url, {})
    assert "hidden" not in str(refused.value)
    assert "dden" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_nothing_set_lists_the_choices() -> None:
    with pytest.raises(SettingsError, match=r"No database is named.*PGHOST"):
        database_url("", {"PGHOST": ""})


@pytest.mark.parametrize(
    ("environ", "database"),
    [
        ({"PGHOST": "db"}, "postgres"),
        ({"PGUSER": "app"}, "postgres"),
        ({"PGHOST": "db", "PGDATABASE": "shop"}, "shop"),
        ({"PGDATABASE": "shop"}, "shop"),
        ({"PGSERVICE": "shop"}, None),
        ({"PGSERVICE": "shop", "PGDATABASE": "other"}, "other"),
    ],
)
def test_libpqs_variables_decide_where_no_url_does(
    environ: dict[str, str], database: str | None
) -> None:
    url = database_url("", environ)
    assert url.database == database
    assert (url.host, url.username, url.password) == (None, None, None)


# -- which secret, which scratch server --------------------------------------------------


@pytest.mark.parametrize(
    ("url", "environ", "secret"),
    [
        ("secretsmanager://shop/db", {}, "shop/db"),
        ("secretsmanager://arn:aws:secretsmanager:eu-west-1:1:secret:shop-a", {},
         "arn:aws:secretsmanager:eu-west-1:1:secret:shop-a"),
        ("", {"PGPIPE_SECRET": "one", "SECRET_NAME": "two"}, "one"),
        ("", {"SECRET_NAME": "two"}, "two"),
        ("", {"PGPIPE_SECRET": "secretsmanager://one?port=1"}, "one"),
        ("", {"PGPIPE_SECRET": ""}, None),
        ("postgresql://db/shop", {"PGPIPE_SECRET": "one"}, None),
    ],
)  # fmt: skip
def test_a_secret_is_named_by_the_url_or_else_by_the_environment(
    url: str, environ: dict[str, str], secret: str | None
) -> None:
    reference = secret_reference(url, environ)
    assert (reference and reference.name) == secret


def test_a_secret_s_reader_may_name_the_database() -> None:
    assert database_name("secretsmanager://shop?database=orders") == "orders"
    assert database_name("secretsmanager://shop") is None
    assert database_name("secretsmanager://shop?databse=orders") is None


def test_a_scratch_folder_is_relative_to_the_project(tmp_path: Path) -> None:
    assert scratch_folder("scratch://.pg", tmp_path) == tmp_path / ".pg"
    assert scratch_folder("scratch:///srv/pg", tmp_path) == Path("/srv/pg")
    assert scratch_folder("postgresql://db/shop", tmp_path) is None


def test_a_scratch_url_without_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs a folder"):
        scratch_folder("scratch://", tmp_path)


def test_the_url_is_one_that_sqlalchemy_reads_again() -> None:
    url = database_url("postgresql://app:a%40b@db/shop?sslmode=require", {})
    assert make_url(url.render_as_string(hide_password=False)) == url
