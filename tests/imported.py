"""What a command imports, typed in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.project import Project

COMMAND = """
import sys
from alembic.config import main
try:
    main(argv=sys.argv[1:])
finally:
    print("imported:", *sys.modules)
"""


def imported(project: Project, *arguments: str) -> frozenset[str]:
    """Type ``alembic …`` and return the names of all modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=project.folder,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    names = done.stdout.rpartition("imported: ")[2].split()
    assert done.returncode == 0 and names, done.stdout + done.stderr
    return frozenset(names)
