"""The commands around the run of a pipeline: ``wait`` ahead of it, ``close`` behind it."""

from __future__ import annotations

from pathlib import Path

import click
from alembic.config import Config

from alembic_pgpipe.cli.parameters import seconds
from alembic_pgpipe.cli.printing import as_called, show


@click.command()
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    callback=seconds,
    help="Seconds until it gives up.",
)
@click.pass_obj
def wait(config: Config, timeout: float) -> None:
    """Wait until the database answers; exit 5 where it does not."""
    from alembic_pgpipe.commands.wait import wait as run

    label = run(config, timeout=timeout, say=lambda line: show(line, err=True))
    show(f"{label} answers")


@click.command()
@click.option(
    "--status",
    type=click.Choice(["success", "failure", "cancelled"], case_sensitive=False),
    help="How the build stands; by default what the CI system's variables say.",
)
@click.option(
    "--junit",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a test report: one case for each revision.",
)
@click.option(
    "--timeout",
    default=10.0,
    show_default=True,
    callback=seconds,
    help="Seconds to wait for a run of this build that is still at work.",
)
@click.pass_obj
def close(config: Config, status: str | None, junit: Path | None, timeout: float) -> None:
    """Give this build its outcome, whatever failed before; the last step of a pipeline.

    A build that failed before any run gets its row, with the log file as its log. A build
    whose run died, or that failed after its run, becomes a FAILURE. Exit 0 where it is
    closed, whatever the outcome. CodeBuild, GitLab and Azure say how the build stands;
    elsewhere --status does. The test report is written though the database does not answer.
    """
    from alembic_pgpipe.commands.close import close as run
    from alembic_pgpipe.render import terminal
    from alembic_pgpipe.render.junit import junit as report

    succeeded = None if status is None else status.lower() == "success"
    closed = run(config, succeeded=succeeded, timeout=timeout)
    if closed.error is None:
        show(terminal.closed(closed))
    if junit is not None:
        _write(junit, report(closed, as_called))
    if closed.error is not None:
        raise closed.error


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(file), error.strerror or str(error)) from error
