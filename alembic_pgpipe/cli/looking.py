"""The commands that only look: ``status``, ``log`` and ``check``."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass

import click
from alembic.config import Config

from alembic_pgpipe.cli.parameters import utf8
from alembic_pgpipe.cli.printing import (
    Findings,
    in_json,
    print_harmless,
    show,
    show_json,
    without_secrets,
)


@dataclass(frozen=True, slots=True)
class _Comparing:
    """The flags of ``status`` by which the database is compared with the project."""

    routines: bool
    tables: bool
    diff: bool
    strict: bool

    def refuse_others(self, *, of_revisions: bool) -> None:
        """Refuse flags that go with what was not asked for."""
        asked = self.routines or self.tables
        if (self.diff or self.strict) and not asked:
            raise click.UsageError("--diff and --check go with --routines or --tables.")
        if asked and of_revisions:
            raise click.UsageError(
                "--all and --last are for revisions, not for --routines and --tables."
            )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--all", "everything", is_flag=True, help="All revisions, not the last 50.")
@click.option("--last", type=click.IntRange(min=1), help="How many of the latest to show.")
@click.option("--routines", is_flag=True, help="Show what differs from the snapshots instead.")
@click.option("--tables", is_flag=True, help="Show which tables, sequences and types differ.")
@click.option("--diff", is_flag=True, help="With --routines or --tables: show how.")
@click.option("--check", "strict", is_flag=True, help="With either: exit 6 where any differ.")
@click.pass_obj
def status(
    config: Config,
    /,
    as_json: bool,
    everything: bool,
    last: int | None,
    **flags: bool,
) -> None:
    """Show where each revision stands: the latest ones, and all that are not done with.

    With --routines: which functions, views, triggers and the like were changed in the
    database, are missing there, or are there besides. With --tables: which tables, sequences
    and types. A scratch server runs the project's revisions for it.
    """
    comparing = _Comparing(**flags)
    comparing.refuse_others(of_revisions=everything or bool(last))
    if comparing.routines or comparing.tables:
        _drift(config, comparing, as_json=as_json)
        return
    from alembic_pgpipe.commands.status import LAST
    from alembic_pgpipe.commands.status import status as run
    from alembic_pgpipe.render import machine, terminal

    report = run(config, last=None if everything else last or LAST)
    if as_json:
        show_json(machine.status_json(report))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else terminal.PIPE_WIDTH
    show(terminal.status_table(report, width))


def _drift(config: Config, asked: _Comparing, *, as_json: bool) -> None:
    from alembic_pgpipe.commands.drift import drift
    from alembic_pgpipe.render import machine, terminal

    report = drift(config, routines=asked.routines, tables=asked.tables)
    said = terminal.drift(report, diff=asked.diff)
    told = machine.drift_json(report) if as_json else None
    _answer(said, told, found=asked.strict and bool(report.found))


@click.command()
@click.argument("build", callback=utf8, required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def log(config: Config, build: str | None, as_json: bool) -> None:
    """Show the log of a build, or of the latest one."""
    from alembic_pgpipe.commands.log import log as run
    from alembic_pgpipe.render import machine, terminal

    record = run(config, build)
    # It is shown as it was written down.
    print_harmless(machine.log_json(record) if as_json else terminal.build_log(record))


@click.command()
@click.option("--no-rehearsal", is_flag=True, help="Only read; run nothing anywhere.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def check(config: Config, no_rehearsal: bool, as_json: bool) -> None:
    """Validate all pending sources and changed routines; exit 6 where something is wrong.

    They are tried on a throwaway server that the project's own revisions bring to the
    head, where one can be had, or in the copy that pgpipe.rehearsal_url names; the project's
    database is only read.
    """
    from alembic_pgpipe.commands.check import check as run
    from alembic_pgpipe.render import machine, terminal

    report = run(config, rehearse=not no_rehearsal)
    said = without_secrets(terminal.problems(report))
    told = machine.check_json(report, without_secrets) if as_json else None
    _answer(said, told, found=bool(report.problems))


def _answer(said: str, told: str | None, *, found: bool) -> None:
    """Show an answer to people, or ``told`` to a program; what was found is exit code 6."""
    if found:
        raise Findings(said, told and in_json(told))
    if told is None:
        show(said)
    else:
        show_json(told)
