"""How far a step is, as a bar on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from alembic_pgpipe.settings import in_ci

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from alembic_pgpipe.watching.progress import Progress

DUMB = frozenset({"", "dumb", "unknown"})


def has_room(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether a stream is a terminal on which a bar can move, with a person before it."""
    if in_ci(environ) or environ.get("TERM", "").lower() in DUMB:
        return False
    encoding = (getattr(stream, "encoding", None) or "").lower()
    return stream.isatty() and encoding.startswith("utf")


class TerminalDisplay:
    """A bar that is there while a statement runs, and leaves nothing behind."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: Bar | None = None

    def show(self, progress: Progress) -> None:
        """Show how far a step is; where the terminal has gone away, nothing."""
        share = progress.share
        done, total = (0.0, None) if share is None else (share, 1.0)
        with suppress(OSError):
            if self._bar is not None:
                [task] = self._bar.task_ids
                self._bar.update(task, completed=done, total=total, doing=doing(progress))
                return
            self._bar = bar = _bar(self._stream)
            bar.add_task("", start=False, total=total, doing=doing(progress))
            # The clock goes on between two looks; it counts from where the step began.
            bar.tasks[0].start_time = bar.get_time() - progress.seconds
            bar.tasks[0].completed = done
            bar.start()

    def hide(self) -> None:
        """Take the bar away, and show the cursor again."""
        bar, self._bar = self._bar, None
        if bar is not None:
            with suppress(OSError):
                bar.stop()


def doing(progress: Progress) -> str:
    """Return what stands beside the bar: short, the most important first."""
    from alembic_pgpipe.watching.progress import percent

    where = f"{progress.number:,}/{progress.total:,}"
    said = [where, *(blocker.named for blocker in progress.blockers[:1])]
    if (activity := progress.activity) is not None:
        share = f"{percent(activity)} " if activity.total else ""
        said.append(f"{share}{activity.doing}")
    return " · ".join(said)


def _bar(stream: TextIO) -> Bar:
    # rich is slow to import: only here, where a bar is about to be shown.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    what = Column(ratio=4, no_wrap=True, overflow="ellipsis")
    return Bar(
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        TextColumn("{task.fields[doing]}", markup=False, table_column=what),
        TimeElapsedColumn(),
        console=Console(file=stream),
        transient=True,
        expand=True,
        refresh_per_second=4,
        redirect_stdout=False,
        redirect_stderr=False,
    )
