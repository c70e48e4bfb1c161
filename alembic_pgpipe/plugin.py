"""The one place where Alembic is hooked: ``alembic pgpipe …`` and our exit codes.

Alembic loads this module through the entry point group ``alembic.plugins`` while its
own package is still half imported; nothing of Alembic may be imported at the top.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from argparse import Namespace

    from alembic.config import CommandLine, Config
    from alembic.runtime.plugins import Plugin
    from alembic.script import ScriptDirectory

COMMAND = "pgpipe"
# What a shell reports for a command that Ctrl-C ended, and for one that nobody reads any more.
STOPPED = 130
UNREAD = 141
HELP = "Status, retry, skip and logs of SQL revisions (alembic-pgpipe)."


def setup(plugin: Plugin) -> None:
    """Register the command group as soon as Alembic's command line exists."""
    wrapt.register_post_import_hook(_extend, "alembic.config")


def _extend(config: ModuleType) -> None:
    wrapt.wrap_function_wrapper(config, "main", _end_as_ours)
    wrapt.wrap_function_wrapper(config, "CommandLine.__init__", _add_command)
    wrapt.wrap_function_wrapper(config, "CommandLine.run_cmd", _exit_with_our_code)
    wrapt.wrap_function_wrapper(
        "alembic.script.base", "ScriptDirectory.from_config", _read_without_importing
    )


def _end_as_ours(
    wrapped: Callable[..., None], instance: object, args: Any, kwargs: Any
) -> None:
    """Let the process end soon where it runs what its own command line says."""
    from alembic_pgpipe.ending import end_soon

    if not args and kwargs.get("argv") is None:
        end_soon()
    wrapped(*args, **kwargs)


def _add_command(
    wrapped: Callable[..., None], instance: CommandLine, args: Any, kwargs: Any
) -> None:
    wrapped(*args, **kwargs)
    # argparse must leave everything behind the name to click, --help included.
    parser = instance.subparsers.add_parser(
        COMMAND, help=HELP, add_help=False, prefix_chars="\0"
    )
    parser.add_argument("arguments", nargs="*")
    parser.set_defaults(cmd=(_run_group, ["arguments"], []))


def _run_group(config: Config, arguments: list[str]) -> None:
    from alembic_pgpipe.cli import main

    sys.exit(main(arguments, config))


def _exit_with_our_code(
    wrapped: Callable[..., None], instance: CommandLine, args: Any, kwargs: Any
) -> None:
    """Exit with an error's own code; Alembic prints it, and exits with 255 for all."""
    from alembic_pgpipe.errors import PgpipeError

    config: Config = args[0] if args else kwargs["config"]
    _offer_display(config)
    try:
        with _termination_like_a_stop():
            wrapped(*args, **kwargs)
        _name_new_sources(config)
    except SystemExit as error:
        reason = error.__context__
        while reason is not None and not isinstance(reason, PgpipeError):
            reason = reason.__context__
        if reason is None:
            raise
        if reason is not error.__context__:
            # Of an error in a template Alembic names only the file that has its traceback.
            sys.stderr.write(f"FAILED: {reason}\n")
        sys.exit(reason.exit_code)
    except BrokenPipeError:
        _write_to_nobody()
        sys.exit(UNREAD)
    except Exception:
        _refuse_broken_revisions(*args, **kwargs)
        raise
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. The same command goes on from here.\n")
        sys.exit(STOPPED)


def _name_new_sources(config: Config) -> None:
    """Say which file ``alembic revision`` has written besides the wrapper that it names."""
    from alembic_pgpipe.errors import UPGRADE
    from alembic_pgpipe.invocation import invocation
    from alembic_pgpipe.settings import NEW_SOURCES

    for file in config.attributes.get(NEW_SOURCES, ()):
        said = f"next: write your SQL into {file}, then: {UPGRADE}"
        config.print_stdout("%s", invocation(config).typed(said))


def _write_to_nobody() -> None:
    """Let Python send what is left of the output nowhere; it would complain once more.

    Python docs, signal, "Note on SIGPIPE".
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _read_without_importing(
    wrapped: Callable[..., ScriptDirectory], instance: object, args: Any, kwargs: Any
) -> ScriptDirectory:
    """Read the revisions as fast as a long history needs it, once they are found."""
    from alembic_pgpipe.configuration import refuse_homeless
    from alembic_pgpipe.revisions.history_map import use_history_map
    from alembic_pgpipe.revisions.reach import refuse_unnamed, steps_asked

    config: Config = args[0] if args else kwargs["config"]
    refuse_homeless(config)
    refuse_unnamed(config.cmd_opts)
    script = wrapped(*args, **kwargs)
    use_history_map(script, steps_asked(config.cmd_opts))
    return script


def _refuse_broken_revisions(config: Config, options: Namespace) -> None:
    """Say in a sentence why ``heads`` and the like cannot read the revisions.

    Of Alembic's own commands those end in a traceback that no env.py of ours has seen.
    """
    from alembic_pgpipe.invocation import invocation
    from alembic_pgpipe.revisions.project import broken_revisions

    refusal = None if options.raiseerr else broken_revisions(config)
    if refusal is not None:
        sys.stderr.write(f"FAILED: {invocation(config).typed(str(refusal))}\n")
        sys.exit(refusal.exit_code)


def _offer_display(config: Config) -> None:
    """Let a run show how far it is, where a person sits at a terminal and wants to see."""
    from alembic_pgpipe.render.bar import TerminalDisplay, has_room

    if not config.messaging_opts.get("quiet") and has_room(config.stdout, os.environ):
        from alembic_pgpipe.watching.display import DISPLAY

        config.attributes.setdefault(DISPLAY, TerminalDisplay(config.stdout))


@contextmanager
def _termination_like_a_stop() -> Iterator[None]:
    """Let SIGTERM, by which CI systems cancel a build, end a run as Ctrl-C does.

    The statement is cancelled and the build closed.  A second one ends the process at
    once, and a handler that somebody else has set is left alone.
    """
    from alembic_pgpipe.sending.stopping import stop

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
