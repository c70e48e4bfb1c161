"""What a real server would answer where psql's lexer depends on the answer.

Statements are recognised by patterns, on purpose in another way than the reader's.
No statement ever fails, and ROLLBACK TO brings no older setting back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from tests.psql.gaps import STRING, bare

DEFAULTS = {"standard_conforming_strings": "on", "client_encoding": "UTF8"}
ON = frozenset({"on", "true", "tru", "tr", "t", "yes", "ye", "y", "1"})

INNERMOST = re.compile(r"\([^()]*\)")

_NAME = r"(?P<name>standard_conforming_strings|client_encoding)"
_VALUE = r"'?(?P<value>[\w-]+)'?"
_SET_CONFIG = (
    rf"\s*SELECT\s+(?:pg_catalog\s*\.\s*)?set_config\s*\(\s*'{_NAME}'\s*,\s*{_VALUE}\s*,"
    r"\s*(?:(?P<local>true|'t')|false|'f')\s*\)"
)
ASSIGNMENTS = (
    rf"\s*SET\s+(?P<local>LOCAL\s+)?(?:SESSION\s+)?{_NAME}\s*(?:=|\bTO\b)\s*{_VALUE}",
    rf"\s*SET\s+(?P<local>LOCAL\s+)?(?:SESSION\s+)?NAMES\s+{_VALUE}",
    _SET_CONFIG,
    rf"\s*RESET\s+{_NAME}",
)
ASSIGNED = tuple(re.compile(pattern, re.IGNORECASE) for pattern in ASSIGNMENTS)
RESET_ALL = re.compile(r"\s*(?:RESET|DISCARD)\s+ALL\b", re.IGNORECASE)
BEGIN = re.compile(r"\s*(?:BEGIN|START\s+TRANSACTION)\b", re.IGNORECASE)
COMMIT = re.compile(r"\s*(?:COMMIT|END)\b(?!\s+PREPARED)", re.IGNORECASE)
ROLLBACK = re.compile(
    r"\s*(?:ROLLBACK|ABORT|PREPARE\s+TRANSACTION)\b"
    r"(?!\s+(?:PREPARED|(?:(?:WORK|TRANSACTION)\s+)?TO)\b)",
    re.IGNORECASE,
)
CHAIN = re.compile(r"\bAND\s+CHAIN\b", re.IGNORECASE)
COPY = re.compile(
    r"\s*COPY\b(?P<head>.*?)\b(?P<way>FROM|TO)\s+(?:STDIN|STDOUT)\b(?P<options>.*)",
    re.IGNORECASE | re.DOTALL,
)
BINARY = re.compile(r"\bBINARY\b", re.IGNORECASE)


class Copy(Enum):
    """Which way a COPY goes."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class CopyAnswer:
    """What the server answers to a COPY."""

    way: Copy
    binary: bool


@dataclass
class Session:
    """The settings and the transaction of one connection."""

    settings: dict[str, str] = field(default_factory=lambda: dict(DEFAULTS))
    before: dict[str, str] | None = None
    local: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> bytes:
        """Return the transaction status as ReadyForQuery has it."""
        return b"I" if self.before is None else b"T"

    def follow(self, text: str) -> dict[str, str]:
        """Take note of what a statement does; return the settings to report."""
        old = {**self.settings, **self.local}
        told = bare(text)
        self._follow_transaction(told)
        self._follow_settings(told)
        new = {**self.settings, **self.local}
        return {name: value for name, value in new.items() if old[name] != value}

    def _follow_transaction(self, text: str) -> None:
        if BEGIN.match(text):
            self.before = self.before or dict(self.settings)
            return
        rollback = ROLLBACK.match(text)
        if not rollback and not COMMIT.match(text):
            return
        if rollback and self.before is not None:
            self.settings = self.before
        self.local = {}
        self.before = dict(self.settings) if CHAIN.search(text) else None

    def _follow_settings(self, text: str) -> None:
        if RESET_ALL.match(text):
            self.settings, self.local = dict(DEFAULTS), {}
        matches = (pattern.match(text) for pattern in ASSIGNED)
        if found := next(filter(None, matches), None):
            groups = found.groupdict()
            name = (groups.get("name") or "client_encoding").lower()
            value = (groups.get("value") or "default").lower()
            self._assign(name, _stored(name, value), local=bool(groups.get("local")))

    def _assign(self, name: str, value: str, *, local: bool) -> None:
        if not local:
            self.local.pop(name, None)
            self.settings[name] = value
        elif self.before is not None:
            self.local[name] = value


def copy_answer(text: str) -> CopyAnswer | None:
    """Return what to answer where the statement is a COPY from or to the client."""
    told = STRING.sub("''", bare(text))
    flat = told
    while (less := INNERMOST.sub(" ", flat)) != flat:
        flat = less
    found = COPY.match(flat)
    if found is None:
        return None
    # The grammar takes FROM STDOUT and TO STDIN as well.
    way = Copy.IN if found["way"].upper() == "FROM" else Copy.OUT
    return CopyAnswer(way, _is_binary(told))


def _is_binary(text: str) -> bool:
    """Tell whether a COPY names the binary format, before its table or as an option."""
    options = re.split(r"\bSTD(?:IN|OUT)\b", text, maxsplit=1, flags=re.IGNORECASE)[-1]
    head = re.match(r"\s*COPY\s+BINARY\b", text, re.IGNORECASE)
    return bool(head or BINARY.search(options))


def _stored(name: str, value: str) -> str:
    """Return a value as the server reports it."""
    if value == "default":
        return DEFAULTS[name]
    if name == "client_encoding":
        return value.upper()
    return "on" if value in ON else "off"
