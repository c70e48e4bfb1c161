"""``pgpipe.*`` options: from the file, from pyproject.toml, from ``-x``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
from alembic.config import Config

from alembic_pgpipe.errors import SettingsError
from alembic_pgpipe.settings import OPTIONS, RetryFailed, Settings, SslMode, read_settings


def ini(folder: Path, *lines: str, section: str = "alembic", x: tuple[str, ...] = ()) -> Config:
    """Return the configuration of an alembic.ini with these lines."""
    file = folder / "alembic.ini"
    file.write_text("\n".join(["[alembic]", "script_location = %(here)s/alembic", *lines]))
    return Config(str(file), ini_section=section, cmd_opts=Namespace(x=list(x)))


def toml(folder: Path, *lines: str) -> Config:
    """Return the configuration of a pyproject.toml with these lines."""
    file = folder / "pyproject.toml"
    file.write_text("\n".join(["[tool.alembic]", 'script_location = "%(here)s/db"', *lines]))
    return Config(toml_file=str(file), cmd_opts=Namespace(x=[]))


def test_defaults_need_no_option(tmp_path: Path) -> None:
    assert read_settings(ini(tmp_path)) == Settings(
        url="",
        project=tmp_path,
        sources=tmp_path / "alembic/sql",
        routines=tmp_path / "alembic/routines",
        log_file=tmp_path / "migration.log",
    )


def test_every_option_is_read(tmp_path: Path) -> None:
    lines = {
        "sources": "migrations",
        "routines": "../shared/routines",
        "schema": "ledger",
        "role": "owner",
        "lock_wait": "2min",
        "lock_timeout": "5s",
        "statement_timeout": "500ms",
        "retries": "0",
        "retry_failed": "always",
        "require_transaction": "true",
        "build_number_env": "RELEASE",
        "log_file": "logs/run.log",
        "scratch_in_ci": "True",
        "rehearsal_url": "postgresql://u@h/copy",
        "sslmode": "verify-full",
        "sslrootcert": "certs/global-bundle.pem",
    }
    assert set(lines) == set(OPTIONS)
    config = ini(tmp_path, *(f"pgpipe.{name} = {value}" for name, value in lines.items()))
    assert read_settings(config) == Settings(
        url="",
        project=tmp_path,
        sources=tmp_path / "migrations",
        routines=tmp_path.parent / "shared/routines",
        schema="ledger",
        role="owner",
        lock_wait=120.0,
        lock_timeout="5s",
        statement_timeout="500ms",
        retries=0,
        retry_failed=RetryFailed.ALWAYS,
        require_transaction=True,
        build_number_env="RELEASE",
        log_file=tmp_path / "logs/run.log",
        scratch_in_ci=True,
        rehearsal_url="postgresql://u@h/copy",
        sslmode=SslMode.VERIFY_FULL,
        sslrootcert=str(tmp_path / "certs/global-bundle.pem"),
    )


def test_the_section_that_alembic_reads_decides(tmp_path: Path) -> None:
    lines = ("pgpipe.schema = one", "[prod]", "script_location = db", "pgpipe.schema = two")
    assert read_settings(ini(tmp_path, *lines)).schema == "one"
    assert read_settings(ini(tmp_path, *lines, section="prod")).schema == "two"


def test_pyproject_toml_works_in_both_spellings(tmp_path: Path) -> None:
    nested = read_settings(
        toml(tmp_path, "[tool.alembic.pgpipe]", 'schema = "ledger"', "retries = 1")
    )
    dotted = read_settings(toml(tmp_path, 'pgpipe.schema = "ledger"', "pgpipe.retries = 1"))
    assert nested == dotted
    assert (nested.schema, nested.retries) == ("ledger", 1)
    assert nested.sources == tmp_path / "db/sql"


def test_toml_values_of_other_types_are_read(tmp_path: Path) -> None:
    config = toml(tmp_path, "pgpipe.require_transaction = true", "pgpipe.lock_wait = 30")
    settings = read_settings(config)
    assert settings.require_transaction is True
    assert settings.lock_wait == 30.0


def test_the_command_line_beats_the_file(tmp_path: Path) -> None:
    config = ini(tmp_path, "pgpipe.schema = one", x=("pgpipe.schema=two", "mine=three"))
    assert read_settings(config).schema == "two"


def test_an_empty_log_file_means_none(tmp_path: Path) -> None:
    assert read_settings(ini(tmp_path, "pgpipe.log_file =")).log_file is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        ("30s", 30.0),
        ("1.5 min", 90.0),
        ("2h", 7200.0),
        ("50ms", 0.05),
    ],
)
def test_lock_wait_is_a_time(tmp_path: Path, value: str, seconds: float) -> None:
    settings = read_settings(ini(tmp_path, f"pgpipe.lock_wait = {value}"))
    assert settings.lock_wait == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lock_wait", "soon"),
        ("lock_wait", "-1"),
        ("lock_timeout", "5 days"),
        ("statement_timeout", "5s; DROP TABLE x"),
        ("retries", "-1"),
        ("retries", "many"),
        ("retry_failed", "never"),
        ("require_transaction", "yes"),
        ("schema", "a.b"),
        ("schema", 'a"b'),
        ("schema", ""),
        ("sslmode", "verify_full"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_option(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings(ini(tmp_path, f"pgpipe.{name} = {value}"))
    assert f"Option pgpipe.{name}: " in str(refused.value)
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "meant"), [("lock_wiat", "lock_wait"), ("source", "sources"), ("zzz", None)]
)
def test_an_unknown_option_names_the_nearest(
    tmp_path: Path, name: str, meant: str | None
) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings(ini(tmp_path, f"pgpipe.{name} = x"))
    text = str(refused.value)
    assert text.startswith(f"Unknown option pgpipe.{name}.")
    assert ("Did you mean" in text) is (meant is not None)
    assert meant is None or f"Did you mean pgpipe.{meant}?" in text
    assert all(f"pgpipe.{option}" in text for option in OPTIONS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", None),
        ("system", "system"),
        ("/etc/ca.pem", "/etc/ca.pem"),
        ("./system", "{}/system"),
    ],
)
def test_authorities_are_a_file_of_the_project_or_the_systems(
    tmp_path: Path, value: str, expected: str | None
) -> None:
    settings = read_settings(ini(tmp_path, f"pgpipe.sslrootcert = {value}"))
    assert settings.sslrootcert == (expected and expected.format(tmp_path))


@pytest.mark.parametrize(
    ("value", "meant"), [("verify_full", "verify-full"), ("REQUIRE", "require"), ("on", None)]
)
def test_the_nearest_sslmode_is_named(tmp_path: Path, value: str, meant: str | None) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings(ini(tmp_path, f"pgpipe.sslmode = {value}"))
    assert str(refused.value).partition("Did you mean ")[2] == (f"{meant}?" if meant else "")


def test_a_url_is_in_no_repr(tmp_path: Path) -> None:
    config = ini(tmp_path, "sqlalchemy.url = postgresql://app:hidden@db/shop")
    assert "hidden" not in repr(read_settings(config))


def test_paths_are_shown_relative_to_the_project(tmp_path: Path) -> None:
    settings = read_settings(ini(tmp_path))
    assert settings.shown(tmp_path / "alembic/sql/a.sql") == "alembic/sql/a.sql"
    assert settings.shown(Path("/elsewhere/a.sql")) == "/elsewhere/a.sql"


def test_two_slashes_at_the_start_of_a_path_are_one(tmp_path: Path) -> None:
    ini(tmp_path, "pgpipe.routines = %(here)s/routines")
    settings = read_settings(Config(f"/{tmp_path}/alembic.ini"))
    assert settings.sources == tmp_path / "alembic/sql"
    assert settings.shown(settings.routines / "f.sql") == "routines/f.sql"
    versions = Path(f"/{tmp_path}/alembic/versions")
    assert settings.shown(versions / "a.py") == "alembic/versions/a.py"
