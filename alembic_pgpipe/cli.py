"""The command group: ``alembic pgpipe …``, and ``alembic-pgpipe …`` which is the same."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from alembic.config import Config
from alembic.util import CommandError

from alembic_pgpipe.ending import end_soon
from alembic_pgpipe.errors import CheckError, PgpipeError
from alembic_pgpipe.invocation import SECTION, invocation
from alembic_pgpipe.settings import HIDE
from alembic_pgpipe.showable import harmless, redacted

if TYPE_CHECKING:
    from alembic_pgpipe.commands.append import Wrapped
    from alembic_pgpipe.commands.wrap import Missing

PROGRAM = "alembic pgpipe"
SECRETS = "alembic_pgpipe.secrets"


def _show(text: str, *, err: bool = False) -> None:
    """Print what people read, with its commands as they have to be typed here."""
    _print(_as_called(text), err=err)


def _show_json(text: str) -> None:
    """Print what a program reads."""
    context = click.get_current_context()
    _print(invocation(context.obj).typed_in_json(text))


def _print(text: str, *, err: bool = False) -> None:
    """Print what may quote others: harmless to a terminal, and as its encoding allows."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    click.echo(harmless(text).encode(encoding, "replace").decode(encoding), err=err)


def _as_called(text: str) -> str:
    """Return a text whose commands are for the project and section of the running one."""
    context = click.get_current_context(silent=True)
    known = context is not None and context.obj is not None
    return invocation(context.obj).typed(text) if context and known else text


def _utf8(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse what a shell has handed over as bytes that are no text."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        message = f"{value!r} is not UTF-8, and the database keeps nothing else."
        raise click.BadParameter(message, context, parameter) from None
    return value


def _seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse what no clock can count: less than nothing, nan, and a wait without an end."""
    if not 0 <= value < math.inf:
        raise click.BadParameter("must be 0 or more seconds.", context, parameter)
    return value


class Findings(click.ClickException):
    """What a check found: its own words on standard output, and the exit code."""

    exit_code = CheckError.exit_code

    def __init__(self, message: str) -> None:
        super().__init__(_as_called(message))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the findings as they are."""
        _print(self.message)


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
                    error.args = (_without_secrets(_as_called(str(error))),)
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


@pgpipe.command()
@click.argument("directory", default="alembic")
@click.pass_obj
def init(config: Config, directory: str) -> None:
    """Start a project, or extend an Alembic project that exists.

    DIRECTORY is where env.py and the revisions go. No file is overwritten.
    """
    from alembic_pgpipe.commands.init import init as run
    from alembic_pgpipe.render import terminal

    _show(terminal.project_files(run(config, directory)))


@pgpipe.command()
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
    from alembic_pgpipe.commands.wrap import missing as look
    from alembic_pgpipe.commands.wrap import wrap as run
    from alembic_pgpipe.render import terminal

    if check:
        if yes or any(ways.values()):
            raise click.UsageError(
                "--check writes nothing; of the others only --merge goes with it."
            )
        _refuse_missing(look(config, merge=merge))
        _show(terminal.complete(empty_folder(config)))
        return

    def agree(planned: Sequence[Wrapped]) -> bool:
        if not any(one.notes for one in planned):
            return True
        _show(terminal.planned(planned))
        return yes or not sys.stdin.isatty() or click.confirm("Write them?")

    def wrote(wrappers: Sequence[Wrapped]) -> None:
        if wrappers:
            _show(terminal.wrapped(wrappers))

    written = run(config, merge=merge, ways=Ways(**ways), wrote=wrote, agree=agree)
    if not written:
        _show(terminal.complete(empty_folder(config)))


@pgpipe.command()
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
        _show(terminal.baseline(command.pull_all(config, schemas)))
    else:
        _show(terminal.pulled(command.pull(config, names, force=force)))


@pgpipe.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--all", "everything", is_flag=True, help="All revisions, not the last 50.")
@click.option("--last", type=click.IntRange(min=1), help="How many of the latest to show.")
@click.option("--routines", is_flag=True, help="Show what differs from the snapshots instead.")
@click.option("--diff", is_flag=True, help="With --routines: show how.")
@click.pass_obj
def status(
    config: Config,
    as_json: bool,
    everything: bool,
    last: int | None,
    routines: bool,
    diff: bool,
) -> None:
    """Show where each revision stands: the latest ones, and all that are not done with.

    With --routines: which functions, views, triggers and the like were changed in the
    database, are missing there, or are there besides. A scratch server runs the snapshots
    for it.
    """
    if diff and not routines:
        raise click.UsageError("--diff goes with --routines.")
    if routines:
        if everything or last:
            raise click.UsageError("--all and --last are for revisions, not for --routines.")
        _drift(config, as_json=as_json, diff=diff)
        return
    from alembic_pgpipe.commands.status import LAST
    from alembic_pgpipe.commands.status import status as run
    from alembic_pgpipe.render import machine, terminal

    report = run(config, last=None if everything else last or LAST)
    if as_json:
        _show_json(machine.status_json(report))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else terminal.PIPE_WIDTH
    _show(terminal.status_table(report, width))


@pgpipe.command()
@click.argument("revisions", nargs=-1, metavar="[REV]…")
@click.option("--marked", is_flag=True, help="Only those whose source says --retry.")
@click.option("--reason", callback=_utf8, help="Kept with who asked.")
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
    _show(terminal.changes(run(config, revisions, marked=marked, reason=reason)))


@pgpipe.command()
@click.argument("revisions", nargs=-1, required=True, metavar="REV…")
@click.option("--reason", callback=_utf8, required=True, help="Kept with who asked.")
@click.pass_obj
def skip(config: Config, revisions: tuple[str, ...], reason: str) -> None:
    """Let the pipeline go on without revisions.

    REV is a revision id, a unique prefix of one, or the name of a source.
    """
    from alembic_pgpipe.commands.skip import skip as run
    from alembic_pgpipe.render import terminal

    _show(terminal.changes(run(config, revisions, reason=reason)))


@pgpipe.command()
@click.argument("build", callback=_utf8, required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def log(config: Config, build: str | None, as_json: bool) -> None:
    """Show the log of a build, or of the latest one."""
    from alembic_pgpipe.commands.log import log as run
    from alembic_pgpipe.render import machine, terminal

    record = run(config, build)
    # It is shown as it was written down.
    _print(machine.log_json(record) if as_json else terminal.build_log(record))


@pgpipe.command()
@click.option(
    "--no-rehearsal", is_flag=True, help="Only read; try nothing on a scratch server."
)
@click.pass_obj
def check(config: Config, no_rehearsal: bool) -> None:
    """Validate all pending sources and changed routines; exit 6 where something is wrong.

    They are tried on a throwaway server that the project's own revisions bring to the
    head, where one can be had; the project's database is only read.
    """
    from alembic_pgpipe.commands.check import check as run
    from alembic_pgpipe.render import terminal

    report = run(config, rehearse=not no_rehearsal)
    said = _without_secrets(terminal.problems(report))
    if report.problems:
        raise Findings(said)
    _show(said)


@pgpipe.command()
@click.option("--applied", multiple=True, metavar="REV", help="Say that REV is applied.")
@click.option("--not-applied", multiple=True, metavar="REV", help="Say that REV is not.")
@click.option("--reason", callback=_utf8, help="Kept with who mended it.")
@click.option("-y", "--yes", is_flag=True, help="Mend it without being asked.")
@click.pass_obj
def repair(config: Config, /, yes: bool, **said: Any) -> None:
    """Mend where the ledger and alembic_version contradict each other.

    Shows what it would write and why, and asks. What two of the three records prove is
    mended; what only a person can know is said with --applied and --not-applied, where REV
    is a revision id, a unique prefix of one, or the name of a source. Exit 6 where
    something is left.
    """
    from alembic_pgpipe.commands.repair import Proposal
    from alembic_pgpipe.commands.repair import repair as run
    from alembic_pgpipe.render import terminal

    def agree(proposal: Proposal) -> bool:
        _show(terminal.proposal(proposal))
        return yes or (sys.stdin.isatty() and click.confirm("Mend it?"))

    report = run(config, **said, agree=agree, say=lambda line: _show(line, err=True))
    _show(terminal.repaired(report))
    if report.left:
        raise click.exceptions.Exit(CheckError.exit_code)


@pgpipe.command()
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    callback=_seconds,
    help="Seconds until it gives up.",
)
@click.pass_obj
def wait(config: Config, timeout: float) -> None:
    """Wait until the database answers; exit 5 where it does not."""
    from alembic_pgpipe.commands.wait import wait as run

    label = run(config, timeout=timeout, say=lambda line: _show(line, err=True))
    _show(f"{label} answers")


@pgpipe.command()
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
    callback=_seconds,
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
        _show(terminal.closed(closed))
    if junit is not None:
        _write(junit, report(closed, _as_called))
    if closed.error is not None:
        raise closed.error


def _refuse_missing(found: Missing) -> None:
    from alembic_pgpipe.render import terminal

    if found:
        raise Findings(terminal.missing(found))


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(file), error.strerror or str(error)) from error


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


def _without_secrets(text: str) -> str:
    """Return what quotes files and servers without the secrets that the command has used."""
    from alembic_pgpipe.run.build_log import spellings

    secrets: set[str] = click.get_current_context().meta[SECRETS]
    given = filter(None, (*secrets, os.environ.get("PGPASSWORD")))
    return redacted(text, {spelling for secret in given for spelling in spellings(secret)})


def _drift(config: Config, *, as_json: bool, diff: bool) -> None:
    from alembic_pgpipe.commands.drift import drift
    from alembic_pgpipe.render import machine, terminal

    report = drift(config)
    if as_json:
        _show_json(machine.drift_json(report))
    else:
        _show(terminal.drift(report, diff=diff))


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
        _show("Stopped.", err=True)
        return 130
    except CommandError as error:
        if getattr(config.cmd_opts if config else None, "raiseerr", False):
            raise
        _show(f"FAILED: {error}", err=True)
        return error.exit_code if isinstance(error, PgpipeError) else PgpipeError.exit_code
    return result if isinstance(result, int) else 0


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
