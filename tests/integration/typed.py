"""Commands of the documentation, typed one after the other as a reader would."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from tests.surroundings import shell

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXIT_CODE = re.compile(r"\(exit code (\d+)\)\Z")
# How a shell asks for the rest of a command.
CONTINUED = "> "


@dataclass(frozen=True)
class Example:
    """A command of a page, the lines that it shows, and its exit code."""

    command: str
    shown: tuple[str, ...]
    code: int


def examples(text: str) -> Iterator[Example]:
    """Yield the commands of a page in their order."""
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            yield _example(part.splitlines())


def _example(lines: list[str]) -> Example:
    command, shown = [lines[0]], lines[1:]
    while shown and shown[0].startswith(CONTINUED.rstrip()):
        command.append(shown.pop(0).removeprefix(">").removeprefix(" "))
    code = EXIT_CODE.search(shown[-1]) if shown else None
    seen = shown[:-1] if code else shown
    return Example("\n".join(command), tuple(seen), int(code[1]) if code else 0)


def expect(example: Example, folder: Path, environ: Mapping[str, str]) -> None:
    """Type a command; expect what the page shows of it."""
    done = subprocess.run(
        ["bash", "-c", example.command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == example.code, f"{example.command}\n{said}"
    for line in example.shown:
        assert line in said, f"{example.command}\n{said}"


def environment(database: URL, *more: Path) -> dict[str, str]:
    """Return a reader's variables; ``more`` are folders with programs."""
    variables = shell(database)
    path = ":".join([*map(str, more), variables["PATH"]])
    return {**variables, "PATH": path, "PYTHONUTF8": "1"}
