"""The commands that write files of the project: ``init``, ``wrap`` and ``pull``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from alembic.config import Config

from alembic_pgpipe.cli.printing import Findings, show

if TYPE_CHECKING:
    from alembic_pgpipe.commands.append import Wrapped


@click.command()
@click.argument("directory", default="alembic")
@click.pass_obj
def init(config: Config, directory: str) -> None:
    """Start a project, or extend an Alembic project that exists.

    DIRECTORY is where env.py and the revisions go. No file is overwritten.
    """
    from alembic_pgpipe.commands.init import init as run
    from alembic_pgpipe.render import terminal

    show(terminal.project_files(run(config, directory)))


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 6 where a wrapper is missing.")
@click.option("--merge", is_flag=True, help="Join several heads first.")
@click.option("-m", "--message", help="Names the revision of the changed routines.")
@click.option("--together", is_flag=True, help="One revision for all changed routines.")
@click.option("--drop", is_flag=True, help="Drop what routine files that are gone created.")
@click.option("--keep-old", is_flag=True, help="Leave functions of an old signature in place.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before something is dropped.")
@click.pass_obj
def wrap(config: Config, /, check: bool, merge: bool, yes: bool, **ways: Any) -> None:
    """Write revisions for new sources and changed routines.

    Changed routines are tried on a scratch server first. What drops or alters something
    is shown before it is written.
    """
    from alembic_pgpipe.commands.wrap import Ways, empty_folder
    from alembic_pgpipe.commands.wrap import wrap as run
    from alembic_pgpipe.render import terminal

    _show_note(config)
    if check:
        if yes or any(ways.values()):
            raise click.UsageError(
                "--check writes nothing; of the others only --merge goes with it."
            )
        _refuse_missing(config, merge=merge)
        return

    def agree(planned: Sequence[Wrapped]) -> bool:
        if not any(one.notes for one in planned):
            return True
        show(terminal.planned(planned))
        return yes or not sys.stdin.isatty() or click.confirm("Write them?")

    def wrote(wrappers: Sequence[Wrapped]) -> None:
        if wrappers:
            show(terminal.wrapped(wrappers))

    written = run(config, merge=merge, ways=Ways(**ways), wrote=wrote, agree=agree)
    if not written:
        show(terminal.complete(empty_folder(config)))


def _show_note(config: Config) -> None:
    from alembic_pgpipe.commands.wrap import note

    if said := note(config):
        show(f"note: {said}")


def _refuse_missing(config: Config, *, merge: bool) -> None:
    from alembic_pgpipe.commands.wrap import empty_folder, missing
    from alembic_pgpipe.render import terminal

    found = missing(config, merge=merge)
    if found:
        raise Findings(terminal.missing(found))
    show(terminal.complete(empty_folder(config)))


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option("--all", "everything", is_flag=True, help="All objects, as a baseline.")
@click.option("--schema", "schemas", multiple=True, help="With --all: only this one.")
@click.option("--force", is_flag=True, help="Write over edits that no snapshot has.")
@click.pass_obj
def pull(
    config: Config,
    names: tuple[str, ...],
    everything: bool,
    schemas: tuple[str, ...],
    force: bool,
) -> None:
    """Write what the database holds into the working copies.

    NAME is a routine, view, trigger or the like: f, app.f, 'app.f(integer)',
    'audit ON app.t'. With --all, every object that the project does not have yet gets a
    working copy, a snapshot and a revision; nothing is run on the database.
    """
    from alembic_pgpipe.commands import pull as command
    from alembic_pgpipe.render import terminal

    if everything == bool(names):
        raise click.UsageError("Name what to pull, or say --all.")
    if everything and force:
        raise click.UsageError("--force goes with names: --all writes new files only.")
    if schemas and not everything:
        raise click.UsageError("--schema goes with --all.")
    if everything:
        show(terminal.baseline(command.pull_all(config, schemas)))
    else:
        show(terminal.pulled(command.pull(config, names, force=force)))
