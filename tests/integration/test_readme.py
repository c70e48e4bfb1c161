"""The README's commands, typed one after the other in an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

REPOSITORY = Path(__file__).parents[2]
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXIT_CODE = re.compile(r"\(exit code (\d+)\)\Z")


@dataclass(frozen=True)
class Example:
    """A command of the README, the lines that it shows, and its exit code."""

    command: str
    shown: tuple[str, ...]
    code: int


def test_every_command_of_the_readme_does_what_it_shows(tmp_path: Path, database: URL) -> None:
    environ = _environment(database)
    examples = list(_examples((REPOSITORY / "README.md").read_text("utf-8")))
    assert len(examples) > 20
    for example in examples:
        done = subprocess.run(
            ["bash", "-c", example.command],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == example.code, f"{example.command}\n{said}"
        for line in example.shown:
            assert line in said, f"{example.command}\n{said}"


def _examples(text: str) -> Iterator[Example]:
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            code = EXIT_CODE.search(shown[-1]) if shown else None
            lines = shown[:-1] if code else shown
            yield Example(command, tuple(lines), int(code[1]) if code else 0)


def _environment(database: URL) -> dict[str, str]:
    beside = Path(sys.executable).parent
    assert shutil.which("alembic", path=str(beside)), "the package is not installed"
    return {
        "PATH": f"{beside}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONUTF8": "1",
        "PGHOST": str(database.query["host"]),
        "PGPORT": str(database.query["port"]),
        "PGUSER": str(database.username),
        "PGDATABASE": str(database.database),
    }
