"""Write docs/cli.md from the command group itself; ``make docs`` runs this."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from alembic_pgpipe.cli import PROGRAM, pgpipe

TARGET = Path(__file__).with_name("cli.md")
WIDTH = 88
HEAD = """\
# Commands

Made from the commands themselves by `make docs`. `alembic-pgpipe …` is the same as
`alembic pgpipe …`; behind it, Alembic's own `-c FILE`, `-n SECTION` and `-x NAME=VALUE`
are understood.
"""


def cli_reference() -> str:
    """Return the reference of all commands as Markdown."""
    return "\n".join([HEAD, *_commands()])


def _commands() -> Iterator[str]:
    for name in sorted(pgpipe.commands):
        command = pgpipe.commands[name]
        context = click.Context(
            command,
            info_name=f"{PROGRAM} {name}",
            terminal_width=WIDTH,
            max_content_width=WIDTH,
            help_option_names=["-h", "--help"],
        )
        yield f"## {PROGRAM} {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    TARGET.write_text(cli_reference(), encoding="utf-8")
