"""Every release of Alembic that we allow, asked whether it reads a history as we do.

``python -m tests.alembic_releases`` installs those that are missing into
``.alembic-releases/RELEASE`` and lets each run the tests that compare our reading, and our
runs, with Alembic's own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import requires
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".alembic-releases"
COMPARED = (
    "tests/unit/revisions",
    "tests/integration/test_history_map.py",
    "tests/integration/test_beside_alembic.py",
    "tests/integration/hostile/test_random_ledgers.py",
    "tests/integration/test_long_histories.py",
)
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def oldest(requirements: list[str]) -> str:
    """Return the oldest release of Alembic that a package's requirements allow."""
    [found] = (
        match[1] for one in requirements if (match := re.match(r"alembic>=([\d.]+)", one))
    )
    return found


def allowed(listed: str, since: str) -> list[str]:
    """Return the releases from ``since`` on, oldest first, of those that pip has listed."""
    [versions] = re.findall("^Available versions: (.*)$", listed, re.MULTILINE)
    numbers = re.findall(r"(?<![\w.])[\d.]+(?=,|$)", versions)
    return sorted((one for one in numbers if _parts(one) >= _parts(since)), key=_parts)


def released() -> list[str]:
    """Return the releases that we allow."""
    listing = [*PIP, "index", "versions", "alembic"]
    listed = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
    return allowed(listed, oldest(requires("alembic-pgpipe") or []))


def install(release: str, place: Path) -> None:
    """Install a release into a folder that is only there once it is whole."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        unfinished = Path(folder, release)
        adding = [*PIP, "install", "-qq", "--no-deps", "--target", str(unfinished)]
        subprocess.run([*adding, f"alembic=={release}"], check=True)
        unfinished.rename(place)


def ask(release: str) -> int:
    """Let the tests run with a release; return how pytest ended."""
    place = CACHE / release
    if not place.exists():
        install(release, place)
    # What stands there is found ahead of what is installed.
    environ = {**os.environ, "PYTHONPATH": str(place)}
    command = [sys.executable, "-m", "pytest", "-q", *COMPARED, *sys.argv[1:]]
    sys.stdout.write(f"== Alembic {release}\n")
    sys.stdout.flush()
    return subprocess.run(command, env=environ, check=False).returncode


def _parts(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


if __name__ == "__main__":
    sys.exit(max(map(ask, released())))
