"""``pgpipe.*`` options: read once from Alembic's configuration, then passed on."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from alembic.config import Config

from alembic_pgpipe.configuration import read_options
from alembic_pgpipe.errors import SettingsError

PREFIX = "pgpipe."
# An attribute of ``Config``: a function that hears of every password and token.
HIDE = "alembic_pgpipe.hide"
# ... and the sources that its command has written, as paths that people are shown.
NEW_SOURCES = "alembic_pgpipe.new_sources"
LEDGER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}\Z")
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h)?\Z")
# What libpq takes for the authorities that the operating system trusts.
SYSTEM_ROOTS = "system"
# CodeBuild, Azure Pipelines, TeamCity, GoCD and Bamboo set no CI, Harness only if told to.
WITHOUT_CI = (
    "CODEBUILD_BUILD_ID",
    "TF_BUILD",
    "BUILD_BUILDID",
    "TEAMCITY_VERSION",
    "GO_PIPELINE_COUNTER",
    "bamboo_buildNumber",
    "HARNESS_BUILD_ID",
)
SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def in_ci(environ: Mapping[str, str]) -> bool:
    """Tell whether a CI system has started this process, and no person."""
    return environ.get("CI", "").lower() not in ("", "0", "false") or any(
        environ.get(name) for name in WITHOUT_CI
    )


class RetryFailed(str, Enum):
    """What decides about a failed revision, besides ``alembic pgpipe retry``."""

    CHANGED = "changed"
    DIRECTIVE = "directive"
    ALWAYS = "always"


class SslMode(str, Enum):
    """What TLS has to give, in libpq's words, from nothing to everything."""

    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"

    @property
    def encrypts(self) -> bool:
        """Return whether nothing ever travels in plain text."""
        return self.verifies or self is SslMode.REQUIRE

    @property
    def verifies(self) -> bool:
        """Return whether the server has to prove who it is."""
        return self in (SslMode.VERIFY_CA, SslMode.VERIFY_FULL)


def read_sslmode(where: str, value: str) -> SslMode:
    """Return what a text asks of TLS; ``where`` names for people who says so.

    Raises SettingsError, with the nearest of libpq's words, for any other.
    """
    try:
        return SslMode(value)
    except ValueError:
        known = [mode.value for mode in SslMode]
        near = difflib.get_close_matches(value.lower(), known, n=1, cutoff=0.5)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise SettingsError(
            f"{where}: {value!r} is none of {', '.join(known)}.{meant}"
        ) from None


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of one project in one environment; the README lists them.

    ``lock_wait`` is in seconds.  ``lock_timeout`` and ``statement_timeout`` are
    PostgreSQL's own spellings, such as ``5s``; ``0`` means no limit.  ``sslrootcert`` is
    an absolute path, or libpq's own word ``system``.
    """

    url: str
    project: Path
    sources: Path
    routines: Path
    schema: str = "public"
    role: str | None = None
    lock_wait: float = 600.0
    lock_timeout: str = "0"
    statement_timeout: str = "0"
    retries: int = 3
    retry_failed: RetryFailed = RetryFailed.CHANGED
    require_transaction: bool = False
    build_number_env: str | None = None
    log_file: Path | None = None
    scratch_in_ci: bool = False
    rehearsal_url: str | None = None
    sslmode: SslMode | None = None
    sslrootcert: str | None = None

    def __repr__(self) -> str:
        return f"Settings(project={str(self.project)!r}, schema={self.schema!r})"

    def shown(self, path: Path) -> str:
        """Return a path as people are shown it: relative to the project."""
        try:
            return _with_one_slash(path).relative_to(self.project).as_posix()
        except ValueError:
            return str(path)


OPTIONS = (
    "sources",
    "routines",
    "schema",
    "role",
    "lock_wait",
    "lock_timeout",
    "statement_timeout",
    "retries",
    "retry_failed",
    "require_transaction",
    "build_number_env",
    "log_file",
    "scratch_in_ci",
    "rehearsal_url",
    "sslmode",
    "sslrootcert",
)


def read_settings(config: Config) -> Settings:
    """Return the settings of the section that Alembic reads.

    ``-x pgpipe.NAME=VALUE`` on the command line beats the file.  Raises
    SettingsError for an unknown option or a value that cannot be read.
    """
    options = read_options(config)
    values = {k.removeprefix(PREFIX): v for k, v in options.items() if k.startswith(PREFIX)}
    values.update(_command_line(config))
    _refuse_unknown(values)
    project = project_folder(config)
    location = _folder(project, str(options.get("script_location") or "alembic"))
    return Settings(
        url=str(options.get("sqlalchemy.url") or "").strip(),
        project=project,
        sources=_folder(project, values.get("sources"), location / "sql"),
        routines=_folder(project, values.get("routines"), location / "routines"),
        schema=_schema(values.get("schema", "public")),
        role=values.get("role") or None,
        lock_wait=_seconds("lock_wait", values.get("lock_wait", "10min")),
        lock_timeout=_timeout("lock_timeout", values.get("lock_timeout", "0")),
        statement_timeout=_timeout("statement_timeout", values.get("statement_timeout", "0")),
        retries=_count("retries", values.get("retries", "3")),
        retry_failed=_retry_failed(values.get("retry_failed", "changed")),
        require_transaction=_flag("require_transaction", values),
        build_number_env=values.get("build_number_env") or None,
        log_file=_log_file(project, values.get("log_file", "migration.log")),
        scratch_in_ci=_flag("scratch_in_ci", values),
        rehearsal_url=values.get("rehearsal_url", "").strip() or None,
        sslmode=_sslmode(values.get("sslmode", "").strip()),
        sslrootcert=_root_certificates(project, values.get("sslrootcert", "").strip()),
    )


def project_folder(config: Config) -> Path:
    """Return the folder of the configuration file, else the current one."""
    file = config.config_file_name
    if file is not None and Path(file).is_file():
        return Path(file).resolve().parent
    toml = config.toml_file_name
    if toml is not None and Path(toml).is_file():
        return Path(toml).resolve().parent
    return Path.cwd().resolve()


def _command_line(config: Config) -> dict[str, str]:
    given = getattr(config.cmd_opts, "x", None) or ()
    pairs = (item.partition("=") for item in given if item.startswith(PREFIX))
    return {name.removeprefix(PREFIX): value for name, _, value in pairs}


def _refuse_unknown(values: Mapping[str, str]) -> None:
    for name in values:
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, n=1, cutoff=0.5)
            meant = f" Did you mean {PREFIX}{near[0]}?" if near else ""
            known = ", ".join(PREFIX + option for option in OPTIONS)
            raise SettingsError(
                f"Unknown option {PREFIX}{name}.{meant} The options are {known}."
            )


def _folder(project: Path, value: str | None, default: Path | None = None) -> Path:
    if not value:
        return default or project
    return _with_one_slash(Path(os.path.normpath(project / value)))


def _with_one_slash(path: Path) -> Path:
    """Return a path that begins as others do: of two slashes Python keeps both."""
    text = str(path)
    return Path(text[1:]) if text.startswith("//") else path


def _log_file(project: Path, value: str) -> Path | None:
    return _folder(project, value) if value else None


def _schema(value: str) -> str:
    if not LEDGER_NAME.match(value):
        raise SettingsError(f"Option pgpipe.schema: {value!r} is not a plain schema name.")
    return value


def _seconds(name: str, value: str) -> float:
    match = DURATION.match(value.strip())
    if match is None:
        raise SettingsError(
            f"Option {PREFIX}{name}: {value!r} is not a time. Write 30s, 10min or 0."
        )
    return float(match[1]) * SECONDS[match[2] or "s"]


def _timeout(name: str, value: str) -> str:
    match = DURATION.match(value.strip())
    if match is None:
        raise SettingsError(
            f"Option {PREFIX}{name}: {value!r} is not a time. Write 500ms, 5s or 0."
        )
    return value.strip()


def _count(name: str, value: str) -> int:
    if not value.strip().isdigit():
        raise SettingsError(f"Option {PREFIX}{name}: {value!r} is not a number of times.")
    return int(value)


def _retry_failed(value: str) -> RetryFailed:
    try:
        return RetryFailed(value.strip().lower())
    except ValueError:
        raise SettingsError(
            f"Option pgpipe.retry_failed: {value!r} is none of changed, directive, always."
        ) from None


def _sslmode(value: str) -> SslMode | None:
    return read_sslmode("Option pgpipe.sslmode", value) if value else None


def _root_certificates(project: Path, value: str) -> str | None:
    if value in ("", SYSTEM_ROOTS):
        return value or None
    return str(_folder(project, value))


def _flag(name: str, values: Mapping[str, str]) -> bool:
    value = values.get(name, "false").strip().lower()
    if value not in ("true", "false"):
        raise SettingsError(f"Option {PREFIX}{name}: {value!r} is neither true nor false.")
    return value == "true"
