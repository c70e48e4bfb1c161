"""How Alembic was called: the commands that messages name have to be for the same project.

``alembic pgpipe skip REV``, typed as a run of ``alembic -n prod`` would say it without this,
decides in another database.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alembic.config import Config

COMMAND = re.compile(
    r"\balembic (?=(?:pgpipe|upgrade|downgrade|stamp|revision|current|history|heads|merge)\b)"
)
# A line of a file, which is shown as it is.
EXCERPT = re.compile(r"\s*\d* \| ")
SECTION = "alembic"
# Of what -x gives only the tool's own options are known to hold no secret; this one may.
SHOWN = re.compile(r"pgpipe\.(?!rehearsal_url)|[A-Za-z_][\w.-]*\Z")
# Without a name, as a URL that env.py reads, all of it may be one.
NAMED = re.compile(r"[A-Za-z_][\w.-]*=")
HIDDEN = "…"


@dataclass(frozen=True, slots=True)
class Invocation:
    """What stands between ``alembic`` and the command: ``-c``, ``-n`` and ``-x``."""

    options: str = ""

    def typed(self, text: str) -> str:
        """Return a text with its commands as they have to be typed here."""
        if not self.options:
            return text
        return "\n".join(
            line if EXCERPT.match(line) else COMMAND.sub(self._called, line)
            for line in text.split("\n")
        )

    def _called(self, found: re.Match[str]) -> str:
        return f"{found[0]}{self.options} "

    def typed_in_json(self, text: str) -> str:
        """Return JSON whose strings have their commands as they have to be typed here."""
        return Invocation(json.dumps(self.options)[1:-1]).typed(text)


PLAIN = Invocation()


def invocation(config: Config) -> Invocation:
    """Return how Alembic was called with a configuration."""
    return Invocation(" ".join(map(_quoted, _options(config))))


def _options(config: Config) -> Iterator[str]:
    for file in _several(getattr(config.cmd_opts, "config", None)):
        yield from ("-c", file)
    if config.config_ini_section != SECTION:
        yield from ("-n", config.config_ini_section)
    for given in _several(getattr(config.cmd_opts, "x", None)):
        name = NAMED.match(given)
        hidden = f"{name[0] if name else ''}{HIDDEN}"
        yield from ("-x", given if SHOWN.match(given) else hidden)


def _quoted(option: str) -> str:
    # What stands for a value is there to be read, and not to be typed.
    return option if option.endswith(HIDDEN) else shlex.quote(option)


def _several(given: str | Iterable[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())
