"""The commands that record what a person has decided: ``retry``, ``skip`` and ``repair``."""

from __future__ import annotations

import sys
from typing import Any

import click
from alembic.config import Config

from alembic_pgpipe.cli.parameters import utf8
from alembic_pgpipe.cli.printing import show
from alembic_pgpipe.errors import CheckError


@click.command()
@click.argument("revisions", nargs=-1, metavar="[REV]…")
@click.option("--marked", is_flag=True, help="Only those whose source says --retry.")
@click.option("--reason", callback=utf8, help="Kept with who asked.")
@click.pass_obj
def retry(config: Config, revisions: tuple[str, ...], marked: bool, reason: str | None) -> None:
    """Mark failed or skipped revisions to be run again.

    REV is a revision id, a unique prefix of one, or the name of a source. Without REV:
    all failed revisions except those whose source says --skip.
    """
    from alembic_pgpipe.commands.retry import retry as run
    from alembic_pgpipe.render import terminal

    if marked and revisions:
        raise click.UsageError("--marked chooses the revisions itself; name none with it.")
    show(terminal.changes(run(config, revisions, marked=marked, reason=reason)))


@click.command()
@click.argument("revisions", nargs=-1, required=True, metavar="REV…")
@click.option("--reason", callback=utf8, required=True, help="Kept with who asked.")
@click.pass_obj
def skip(config: Config, revisions: tuple[str, ...], reason: str) -> None:
    """Let the pipeline go on without revisions.

    REV is a revision id, a unique prefix of one, or the name of a source.
    """
    from alembic_pgpipe.commands.skip import skip as run
    from alembic_pgpipe.render import terminal

    show(terminal.changes(run(config, revisions, reason=reason)))


@click.command()
@click.option("--applied", multiple=True, metavar="REV", help="Say that REV is applied.")
@click.option("--not-applied", multiple=True, metavar="REV", help="Say that REV is not.")
@click.option("--reason", callback=utf8, help="Kept with who mended it.")
@click.option("-y", "--yes", is_flag=True, help="Mend it without being asked.")
@click.pass_obj
def repair(config: Config, /, yes: bool, **said: Any) -> None:
    """Mend where the ledger and alembic_version contradict each other.

    Shows what it would write and why, and asks. What two of the three records prove is
    mended; what only a person can know is said with --applied and --not-applied, where REV
    is a revision id, a unique prefix of one, or the name of a source. Of an applied file
    that was edited since, --applied says that its present text is what was applied. Exit 6
    where something is left.
    """
    from alembic_pgpipe.commands.repair import Proposal
    from alembic_pgpipe.commands.repair import repair as run
    from alembic_pgpipe.render import terminal

    def agree(proposal: Proposal) -> bool:
        show(terminal.proposal(proposal))
        return yes or (sys.stdin.isatty() and click.confirm("Mend it?"))

    report = run(config, **said, agree=agree, say=lambda line: show(line, err=True))
    show(terminal.repaired(report))
    if report.left:
        raise click.exceptions.Exit(CheckError.exit_code)
