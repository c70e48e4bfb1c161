"""Run a script as a person does: with psql."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from sqlalchemy import URL

from alembic_pgpipe.scratch.binaries import find_binaries

STOP = ("-v", "ON_ERROR_STOP=1")


def psql(url: URL, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a script; skip the test where there is no psql."""
    found = shutil.which(
        "psql", path=f"{find_binaries(os.environ).folder}:{os.environ['PATH']}"
    )
    if found is None:
        pytest.skip("there is no psql here")
    return subprocess.run(
        [found, "-X", "-q", *options, "-d", libpq(url), "-f", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )


def libpq(url: URL) -> str:
    """Return a URL as libpq's own programs take it."""
    return (
        f"host={url.query['host']} port={url.query['port']} "
        f"user={url.username} dbname={url.database}"
    )
