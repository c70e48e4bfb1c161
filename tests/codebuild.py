"""A build as AWS CodeBuild runs it, by the documented rules of buildspec 0.2, without Docker.

All commands run in one shell.  A phase stops at its first failing command and then runs its
``finally``.  A failed install or pre_build skips what follows; a failed build does not skip
post_build, which finds CODEBUILD_BUILD_SUCCEEDING=0.  Whether that variable has changed
already in a phase's own ``finally`` is not documented: here it has not.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

PHASES = ("install", "pre_build", "build", "post_build")
# What fails here ends the build at once.
ESSENTIAL = ("install", "pre_build")


@dataclass(frozen=True)
class Ran:
    """A command that was run, in which phase, and its exit code."""

    phase: str
    command: str
    code: int


@dataclass(frozen=True)
class BuildResult:
    """A finished build; ``output`` is all that its commands printed."""

    commands: tuple[Ran, ...]
    output: str
    reports: tuple[Path, ...]
    artifacts: tuple[Path, ...]

    @property
    def succeeded(self) -> bool:
        """Return whether the build is green."""
        return not self.failed

    @property
    def failed(self) -> tuple[Ran, ...]:
        """Return the commands that failed."""
        return tuple(ran for ran in self.commands if ran.code != 0)

    @property
    def phases(self) -> tuple[str, ...]:
        """Return the phases that were entered."""
        return tuple(dict.fromkeys(ran.phase for ran in self.commands))


@dataclass
class Shell:
    """One long-lived shell: ``script`` is what it reads, on ``codes`` it answers."""

    process: subprocess.Popen[bytes]
    script: int
    codes: IO[str]

    def run(self, command: str) -> int:
        """Run one command in it; return its exit code, or the shell's where that has ended."""
        try:
            os.write(self.script, f"eval {shlex.quote(command)}\necho $? >&$CODES\n".encode())
        except BrokenPipeError:
            return self.process.wait()
        answer = self.codes.readline()
        return int(answer) if answer else self.process.wait()


def run_build(spec: Path, folder: Path, environ: Mapping[str, str]) -> BuildResult:
    """Run a buildspec in a checkout; ``environ`` is what the project's settings add."""
    told: dict[str, Any] = yaml.safe_load(spec.read_text("utf-8"))
    assert told["version"] == 0.2
    variables = {k: str(v) for k, v in told["env"].get("variables", {}).items()}
    output = folder.parent / f"{folder.name}.output"
    with _shell(told["env"]["shell"], folder, {**variables, **environ}, output) as shell:
        commands = tuple(_phases(told["phases"], shell))
    reports = [path for one in told["reports"].values() for path in _found(one, folder)]
    artifacts = tuple(_found(told["artifacts"], folder))
    return BuildResult(commands, output.read_text("utf-8"), tuple(reports), artifacts)


def codebuild_variables(number: int, project: str = "shop") -> dict[str, str]:
    """Return the variables that CodeBuild sets in a build."""
    name = f"{project}:00000000-0000-0000-0000-{number:012}"
    return {
        "CODEBUILD_CI": "true",
        "CODEBUILD_BUILD_ID": name,
        "CODEBUILD_BUILD_ARN": f"arn:aws:codebuild:eu-west-1:123456789012:build/{name}",
        "CODEBUILD_BUILD_NUMBER": str(number),
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_INITIATOR": "codepipeline/shop",
        "CODEBUILD_RESOLVED_SOURCE_VERSION": "0123456789abcdef",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def _phases(phases: Mapping[str, Any], shell: Shell) -> Iterator[Ran]:
    for name in PHASES:
        failed = False
        for ran in _phase(name, phases.get(name, {}), shell):
            failed |= ran.code != 0
            yield ran
        if failed:
            shell.run("export CODEBUILD_BUILD_SUCCEEDING=0")
        if failed and name in ESSENTIAL:
            return


def _phase(name: str, phase: Mapping[str, Any], shell: Shell) -> Iterator[Ran]:
    for part in ("commands", "finally"):
        for command in phase.get(part, ()):
            ran = Ran(name, command, shell.run(command))
            yield ran
            if ran.code != 0:
                break


def _found(told: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    base = folder / told.get("base-directory", ".")
    for pattern in told["files"]:
        yield from sorted(base.glob(pattern))


@contextmanager
def _shell(
    program: str, folder: Path, environ: Mapping[str, str], output: Path
) -> Iterator[Shell]:
    """Start a shell that reads its commands from a pipe of its own, not from its input."""
    read_script, write_script = os.pipe()
    read_codes, write_codes = os.pipe()
    with output.open("wb") as printed:
        process = subprocess.Popen(
            [program, "--noprofile", "--norc", f"/dev/fd/{read_script}"],
            cwd=folder,
            env={**_image(), "CODES": str(write_codes), **environ},
            pass_fds=(read_script, write_codes),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
    os.close(read_script)
    os.close(write_codes)
    try:
        with os.fdopen(read_codes) as codes:
            yield Shell(process, write_script, codes)
    finally:
        # Without a script a shell ends; what it still runs is of a test that has failed.
        os.close(write_script)
        process.kill()
        process.wait()


def _image() -> dict[str, str]:
    """Return what the image of a build gives: a Python with pip, and little else."""
    beside = Path(sys.executable).parent
    return {
        "PATH": f"{beside}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
