"""What every report says: the machine, the versions, the day, and a Markdown table."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version

from alembic_pgpipe.scratch.binaries import find_binaries

PACKAGES = ("alembic-pgpipe", "alembic", "SQLAlchemy", "psycopg2-binary")


def machine(*others: str) -> str:
    """Return a line on where and with what was measured; ``others`` are further versions."""
    today = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    packages = ", ".join((*(f"{name} {version(name)}" for name in PACKAGES), *others))
    return (
        f"{today} · {platform.system()} {platform.machine()}, {os.cpu_count()} processors, "
        f"load {os.getloadavg()[0]:.1f} · Python {platform.python_version()}, {packages}\n"
    )


def count(text: str) -> int:
    """Return an option's number of things; raises ArgumentTypeError for less than one."""
    return int(_positive(text, int(text)))


def size(text: str) -> float:
    """Return an option's number of megabytes; raises ArgumentTypeError for none."""
    return _positive(text, float(text))


def _positive(text: str, value: float) -> float:
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} leaves nothing to measure")
    return value


def postgresql() -> str:
    """Return which server the scratch servers are."""
    return f"PostgreSQL {find_binaries(os.environ).version}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def chart(title: str, names: Sequence[str], lines: Mapping[str, Sequence[float]]) -> str:
    """Return a drawing that Markdown viewers show: one line for each series, by name."""
    axis = ", ".join(f'"{name}"' for name in names)
    drawn = "".join(
        f"    line [{', '.join(f'{value:.2f}' for value in values)}]\n"
        for values in lines.values()
    )
    legend = " and ".join(lines)
    return (
        f'```mermaid\nxychart-beta\n    title "{title} ({legend}, in this order)"\n'
        f'    x-axis [{axis}]\n    y-axis "seconds"\n{drawn}```\n'
    )
