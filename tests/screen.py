"""A command at a terminal: what it shows there, to the last control character."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping
from contextlib import suppress

from tests.project import Project


def on_terminal(
    project: Project,
    columns: int,
    *command: str,
    env: Mapping[str, str] | None = None,
    stop_at: str | None = None,
    answer: tuple[str, str] | None = None,
) -> tuple[int, str]:
    """Type a command at a terminal of some width; return exit code and screen.

    ``stop_at`` is a text at which Ctrl-C is typed, once; ``answer`` a question, and what
    is typed when it is asked.
    """
    screen, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        command,
        cwd=project.folder,
        env={**environ, "TERM": "xterm", **(env or {})},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    # Linux reports the other side's end as an error.
    with suppress(OSError):
        while part := os.read(screen, 4096):
            shown += part
            if stop_at is not None and stop_at.encode() in shown:
                process.send_signal(signal.SIGINT)
                stop_at = None
            if answer is not None and answer[0].encode() in shown:
                os.write(screen, answer[1].encode())
                answer = None
    os.close(screen)
    return process.wait(), shown.decode().replace("\r\n", "\n")
