"""The variables that a command finds around it: libpq's own, and those of a shell."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from sqlalchemy import URL


def libpq(url: URL | str) -> dict[str, str]:
    """Return the variables that name a scratch server's database."""
    assert isinstance(url, URL)
    return {
        "PGHOST": str(url.query["host"]),
        "PGPORT": str(url.query["port"]),
        "PGUSER": str(url.username),
        "PGDATABASE": str(url.database),
    }


def shell(url: URL | str) -> dict[str, str]:
    """Return the variables of a shell that finds the installed scripts, and a database."""
    beside = Path(sys.executable).parent
    assert shutil.which("alembic", path=str(beside)), "the package is not installed"
    return {
        "PATH": f"{beside}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        **libpq(url),
    }
