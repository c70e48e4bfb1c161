"""What one of Alembic's own commands does, and how far back it looks.

Alembic does not say so: the names of its functions tell which command it is.  Where they
tell nothing, it may look anywhere.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

from alembic_pgpipe.errors import UPGRADE, RevisionError

# "-3:", or the same with the end written out.
AHEAD = re.compile(r"(?:heads?|\+\d{1,4})\Z", re.A)
# Where Alembic's parser puts the revisions that its commands are given.
NAMING = ("revision", "revisions", "rev", "head", "depends_on")
LATEST = re.compile(r"\s*-(\d{1,4}):(?:heads?)?\s*\Z", re.A)


def steps_asked(options: Namespace | None) -> int | None:
    """Return how many steps back a command looks; None where it may look anywhere.

    ``options`` is what Alembic's command line was given.
    """
    command = getattr(options, "cmd", None)
    name = getattr(command[0], "__name__", "") if isinstance(command, tuple) else ""
    if name == "heads":
        return 1
    if name == "history" and not getattr(options, "indicate_current", False):
        found = LATEST.match(getattr(options, "rev_range", None) or "")
        # One more is shown as what the last of them builds on.
        return int(found[1]) + 2 if found else None
    return None


def refuse_unnamed(options: Namespace | None) -> None:
    """Raise RevisionError where a command was given an empty text for a revision.

    A shell gives one for a variable that is not set.  ``options`` are those of Alembic's
    command line.
    """
    for name in NAMING:
        given = getattr(options, name, None)
        for revision in given if isinstance(given, (list, tuple)) else (given,):
            if isinstance(revision, str):
                refuse_empty(revision)


def refuse_empty(revision: str) -> None:
    """Raise RevisionError for a name of a revision that says nothing."""
    if not revision.strip():
        raise RevisionError(
            "The name of the revision is empty, as of a variable that is not set. Nothing was "
            "done. See them all: alembic pgpipe status --all"
        )


def is_ahead(steps: Callable[..., Any], options: Mapping[str, Any]) -> bool:
    """Return whether the steps of a run are all ahead of what is applied.

    ``options`` are those of Alembic's ``EnvironmentContext``.
    """
    to = options.get("destination_rev")
    upwards = getattr(steps, "__name__", "") == "upgrade"
    return upwards and isinstance(to, str) and AHEAD.match(to) is not None


def stamps(steps: Callable[..., Any]) -> bool:
    """Return whether a run only says what is applied."""
    return getattr(steps, "__name__", "") == "do_stamp"


def verb_of(steps: Callable[..., Any]) -> str:
    """Return what a run does, as it is typed behind ``alembic``."""
    return "stamp" if stamps(steps) else getattr(steps, "__name__", "upgrade")


def again(options: Mapping[str, Any]) -> str:
    """Return what to type when what kept a run from its end is out of the way.

    A stamp is all or nothing; whatever else is open, an upgrade finishes.  ``options`` are
    those of Alembic's ``EnvironmentContext``.
    """
    if not stamps(options["fn"]):
        return UPGRADE
    purge = ["--purge"] if options.get("purge") else []
    return " ".join(["alembic stamp", *purge, *options.get("destination_rev", ())])


def shows_current(answer: Callable[..., Any]) -> bool:
    """Return whether a command only shows which revisions are current."""
    return getattr(answer, "__name__", "") == "display_version"
