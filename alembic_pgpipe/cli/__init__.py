"""The command group: ``alembic pgpipe …``, and ``alembic-pgpipe …`` which is the same."""

from __future__ import annotations

from collections.abc import Sequence

import click
from alembic.config import Config
from alembic.util import CommandError

from alembic_pgpipe.cli.around_run import close, wait
from alembic_pgpipe.cli.deciding import repair, retry, skip
from alembic_pgpipe.cli.group import PROGRAM, pgpipe
from alembic_pgpipe.cli.looking import check, log, status
from alembic_pgpipe.cli.printing import show
from alembic_pgpipe.cli.writing import init, pull, wrap
from alembic_pgpipe.ending import end_soon
from alembic_pgpipe.errors import PgpipeError

__all__ = ["PROGRAM", "main", "pgpipe"]

for verb in (init, wrap, pull, status, retry, skip, log, check, repair, wait, close):
    pgpipe.add_command(verb)


def main(arguments: Sequence[str] | None = None, config: Config | None = None) -> int:
    """Run the command group and return its exit code; messages go to standard error."""
    if arguments is None:
        end_soon()
    try:
        result = pgpipe.main(
            args=list(arguments) if arguments is not None else None,
            prog_name=PROGRAM,
            standalone_mode=False,
            obj=config,
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        show("Stopped.", err=True)
        return 130
    except CommandError as error:
        if getattr(config.cmd_opts if config else None, "raiseerr", False):
            raise
        show(f"FAILED: {error}", err=True)
        return error.exit_code if isinstance(error, PgpipeError) else PgpipeError.exit_code
    return result if isinstance(result, int) else 0
