"""What other tools keep beside a source, or in it, to undo it: it is not to run with it."""

from __future__ import annotations

import re
from collections.abc import Collection

# What stands, alone on its line, ahead of what undoes the rest of the file.
SECTION = re.compile(
    r"""
    --[ \t]*
    (?: migrate:down\b .*                                           # dbmate
      | \+ (?:goose|migrate) [ \t]+ down\b .*                       # goose, sql-migrate
      | -* [ \t]* down [ \t]+ migration (?: [ \t]* [-:=*] .* )?      # node-pg-migrate
      | (?://)? [ \t]* @undo                                         # MyBatis
      | -- [ \t]* create[ ]above [ \t]* / [ \t]* drop[ ]below [ \t]* -*  # tern
      | =+ [ \t]* down [ \t]* =+                                     # shmig
    ) [ \t]* \Z
    """,
    re.I | re.A | re.X,
)
# Flyway's undo of V1.2__name.sql is U1.2__name.sql.
FLYWAY_UNDO = re.compile(r"U(?P<version>[0-9][0-9._]*?)__.+\Z")
# postgrator's undo of 1.do.name.sql is 1.undo.name.sql.
POSTGRATOR_UNDO = re.compile(r"(?P<number>[^.]+)\.undo(?P<name>\..+)?\Z", re.I)
# yoyo's NAME.rollback.sql, db-migrate's NAME-down.sql, and what others call theirs.
UNDO = re.compile(r"(?P<name>.+?)[._-](?:undo|rollback|revert|down|downgrade)\Z", re.I)
SAME = ("{}", "{}-up", "{}_up", "{}.apply")


def begins_undo(comment: str) -> bool:
    """Tell whether a comment is the line at which another tool's undo begins."""
    return SECTION.match(comment) is not None


def undone_by(name: str, names: Collection[str]) -> str | None:
    """Return which of the sources ``names`` another one undoes, by its own name."""
    if flyway := FLYWAY_UNDO.match(name):
        beginning = f"V{flyway['version']}__"
        return next((one for one in sorted(names) if one.startswith(beginning)), None)
    others = list[str]()
    if postgrator := POSTGRATOR_UNDO.match(name):
        others.append(f"{postgrator['number']}.do{postgrator['name'] or ''}")
    if undo := UNDO.match(name):
        others.extend(form.format(undo["name"]) for form in SAME)
    return next((one for one in others if one in names), None)
