"""What a command of Alembic's answers in this process: as we read a history, and as it does."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.config import CommandLine, Config

from alembic_pgpipe.revisions import history_map

# Alembic itself shows the labels of a branch, and revisions that overlap, in no order.
IN_NO_ORDER = re.compile(r"label_\w+(?:, label_\w+)*|(?<=requested revisions )\w+(?:, \w+)*")


@contextmanager
def plain_alembic() -> Iterator[None]:
    """Let Alembic read the revisions in its own way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_map, "use_history_map", lambda script, depth: None)
        yield


def printed(ini: Path, arguments: list[str]) -> str:
    """Return what a command prints; raises what it fails with, and warnings too."""
    out = io.StringIO()
    command_line = CommandLine(prog="alembic")
    options = command_line.parser.parse_args(["-c", str(ini), "--raiseerr", *arguments])
    config = Config(ini, stdout=out, output_buffer=out, cmd_opts=options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        command_line.run_cmd(config, options)
    return in_one_order(out.getvalue())


def answer(ini: Path, arguments: list[str]) -> str:
    """Return what a command prints, or how it fails."""
    try:
        return printed(ini, arguments)
    except Exception as error:  # noqa: BLE001  how it fails is part of the answer
        return failure(error)


def failure(error: Exception) -> str:
    """Return how a command failed."""
    return in_one_order(f"{type(error).__name__}: {error}")


def in_one_order(text: str) -> str:
    """Return a text with what Alembic says in no order in one that is always the same."""
    return IN_NO_ORDER.sub(lambda m: ", ".join(sorted(m[0].split(", "))), text)
