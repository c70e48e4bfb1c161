"""A throwaway project for tests: write files, type ``alembic …``, read what came out."""

from __future__ import annotations

import functools
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg2
from alembic.config import CommandLine, Config
from sqlalchemy import URL

from alembic_pgpipe.commands.init import template


class Printed(io.StringIO):
    """What was printed, as a terminal with UTF-8 would show it."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the encoding that Alembic asks its stream for."""
        return "utf-8"


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    output: str
    errors: str

    @property
    def text(self) -> str:
        """Return all that was printed."""
        return self.output + self.errors


@dataclass
class Project:
    """A project in a folder, on a database; ``options`` go into its alembic.ini."""

    folder: Path
    url: URL | str
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write what ``alembic pgpipe init`` writes."""
        for name in ("versions", "sql", "routines"):
            (self.folder / "alembic" / name).mkdir(parents=True, exist_ok=True)
        self.write("alembic/env.py", template("env.py"))
        self.write("alembic/script.py.mako", template("script.py.mako"))
        self.configure()

    # -- files ---------------------------------------------------------------------------

    def configure(self, **options: str) -> None:
        """Write alembic.ini with further ``pgpipe.`` options; None of the old is lost."""
        self.options.update(options)
        shown = self.url
        if isinstance(shown, URL):
            shown = shown.render_as_string(hide_password=False)
        lines = [
            "[alembic]",
            "script_location = %(here)s/alembic",
            f"sqlalchemy.url = {shown.replace('%', '%%')}",
            *(f"pgpipe.{name} = {value}" for name, value in self.options.items()),
        ]
        self.write("alembic.ini", "\n".join(lines) + "\n")

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
        return path

    def source(self, name: str, up: str, down: str | None = None) -> None:
        """Write ``alembic/sql/NAME.sql`` and its undo."""
        self.write(f"alembic/sql/{name}.sql", up)
        if down is not None:
            self.write(f"alembic/sql/{name}.down.sql", down)

    def wrapped(self, **sources: str) -> None:
        """Write sources, by name and text, and their wrappers."""
        for name, text in sources.items():
            self.source(name, text)
        assert self.alembic("pgpipe", "wrap").code == 0

    # -- commands ------------------------------------------------------------------------

    def alembic(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """Type ``alembic …`` in the project's folder, within this process."""
        out, err, told = Printed(), Printed(), Printed()
        with (
            self._inside(),
            mock.patch.dict(os.environ, dict(env or {})),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = _run(list(arguments), told)
        return Result(code, told.getvalue() + out.getvalue(), err.getvalue())

    def ok(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """Type ``alembic …`` and expect that it succeeds."""
        result = self.alembic(*arguments, env=env)
        assert result.code == 0, result.text
        return result

    def upgrade(self, *, env: Mapping[str, str] | None = None) -> Result:
        """Type ``alembic upgrade head``."""
        return self.alembic("upgrade", "head", env=env)

    def status(self) -> dict[str, str]:
        """Return what ``status --json`` says of each revision, by name."""
        report = json.loads(self.ok("pgpipe", "status", "--json", "--all").output)
        return {r["name"]: r["status"] for r in report["revisions"]}

    @contextmanager
    def _inside(self) -> Iterator[None]:
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            yield
        finally:
            os.chdir(before)

    # -- the database --------------------------------------------------------------------

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement in the project's database and return its rows."""
        assert isinstance(self.url, URL)
        arguments: dict[str, Any] = {
            **self.url.translate_connect_args(username="user", database="dbname"),
            **self.url.query,
        }
        connection = psycopg2.connect(**arguments)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def scalar(self, sql: str, *values: object) -> Any:
        """Return the first value of a query's first row."""
        return self.query(sql, *values)[0][0]

    def ledger(self, schema: str = "public") -> dict[str, str]:
        """Return the statuses that ``migrations`` holds, by name."""
        return dict(
            self.query(f"SELECT migration_name, applied_status FROM {schema}.migrations")
        )

    def outcomes(self, name: str, schema: str = "public") -> list[tuple[str, str]]:
        """Return direction and outcome of a revision's attempts, oldest first."""
        return self.query(
            f"SELECT direction, outcome FROM {schema}.migration_attempts "
            "WHERE migration_name = %s ORDER BY id",
            name,
        )


@functools.cache
def _command_line() -> CommandLine:
    """Return Alembic's command line; to build it takes longer than many a command."""
    return CommandLine(prog="alembic")


def _run(arguments: list[str], told: io.StringIO) -> int:
    """Do what ``CommandLine.main`` does, with what the configuration prints kept."""
    command_line = _command_line()
    try:
        options = command_line.parser.parse_args(arguments)
        toml, ini = command_line._inis_from_config(options)
        config = Config(ini, toml, options.name, stdout=told, cmd_opts=options)
        command_line.run_cmd(config, options)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
