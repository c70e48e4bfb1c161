"""The command group: whose project its commands are for, and what is kept of a failure."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from alembic.config import Config
from alembic.util import CommandError

from alembic_pgpipe.cli.printing import SECRETS, as_called, without_secrets
from alembic_pgpipe.errors import PgpipeError
from alembic_pgpipe.invocation import SECTION
from alembic_pgpipe.settings import HIDE

PROGRAM = "alembic pgpipe"


class Verbs(click.Group):
    """The commands; what one says that fails in a CI build stays in the build's log file."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command that was typed."""
        secrets: set[str] = set()
        context.meta[SECRETS] = secrets
        try:
            return super().invoke(context)
        except (click.ClickException, CommandError) as error:
            if context.obj is not None:
                if isinstance(error, CommandError):
                    error.args = (without_secrets(as_called(str(error))),)
                _keep(context, error, secrets)
            raise


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("-c", "--config", "file", metavar="FILE", help="Alembic's configuration file.")
@click.option("-n", "--name", metavar="SECTION", help="Section of the .ini file to use.")
@click.option("-x", "arguments", multiple=True, metavar="NAME=VALUE", help="As alembic -x.")
@click.pass_context
def pgpipe(
    context: click.Context, file: str | None, name: str | None, arguments: tuple[str, ...]
) -> None:
    """Ship SQL files and routines to PostgreSQL: status, retry, skip, logs."""
    if context.obj is None or file or name is not None or arguments:
        context.obj = _config(file, name, arguments, context.obj)
    context.obj.attributes[HIDE] = context.meta[SECRETS].add


def _keep(
    context: click.Context, error: click.ClickException | CommandError, secrets: Iterable[str]
) -> None:
    """Keep why a command failed; a file that cannot be had is no reason to fail otherwise."""
    from alembic_pgpipe.run.build_log import keep_failure
    from alembic_pgpipe.settings import read_settings

    said = error.format_message() if isinstance(error, click.ClickException) else str(error)
    code = getattr(error, "exit_code", PgpipeError.exit_code)
    with suppress(CommandError):
        settings = read_settings(context.obj)
        verb = f"{PROGRAM} {context.invoked_subcommand or ''}".rstrip()
        keep_failure(settings, os.environ, f"{verb} (exit code {code})\n{said}", secrets)


def _config(
    file: str | None, name: str | None, arguments: Sequence[str], outer: Config | None
) -> Config:
    """Return Alembic's configuration as its own command line would make it.

    ``outer`` is that of what stands ahead of ``pgpipe``.
    """
    ahead = outer.cmd_opts if outer is not None else None
    ini, toml = _files(file)
    if outer is not None and file is None:
        ini, toml = outer.config_file_name, outer.toml_file_name
    options = argparse.Namespace(
        config=[file] if file else getattr(ahead, "config", None),
        x=[*(getattr(ahead, "x", None) or ()), *arguments],
        quiet=False,
        raiseerr=False,
    )
    section = outer.config_ini_section if outer is not None else SECTION
    if name is not None:
        section = name
    return Config(file_=ini, toml_file=toml, ini_section=section, cmd_opts=options)


def _files(file: str | None) -> tuple[str | None, str | None]:
    """Return the .ini file and the TOML file of a project, of which one may be named."""
    chosen = file or os.environ.get("ALEMBIC_CONFIG") or "alembic.ini"
    toml = chosen if Path(chosen).name == "pyproject.toml" else "pyproject.toml"
    return ("alembic.ini" if chosen == toml else chosen), toml
