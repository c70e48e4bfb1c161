"""Of a long history a run looks at what is new and what is open, wherever that is."""

from __future__ import annotations

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project

NAMES = tuple(f"{number:02}_step" for number in range(12))


def shipped(project: Project) -> Project:
    """Apply all but the first of twelve sources, which fails and is skipped."""
    for name in NAMES:
        project.source(name, f'CREATE TABLE public."t{name}" ();\n')
    project.source(NAMES[0], "SELECT nothing;\n")
    project.wrapped()
    assert project.upgrade().code != 0
    project.ok("pgpipe", "skip", NAMES[0], "--reason", "later")
    project.ok("upgrade", "head")
    return project


def test_what_was_skipped_long_ago_is_caught_up_with(project: Project) -> None:
    shipped(project)
    project.source(NAMES[0], "CREATE TABLE public.first ();\n")
    project.ok("pgpipe", "retry", NAMES[0])
    said = project.ok("upgrade", "head").text
    assert f"[1/1] {revision_id(NAMES[0])} {NAMES[0]}" in said
    assert set(project.status().values()) == {"SUCCESS"}


def test_it_is_caught_up_with_before_what_is_new(project: Project) -> None:
    shipped(project)
    project.source(NAMES[0], "CREATE TABLE public.first ();\n")
    project.ok("pgpipe", "retry", NAMES[0])
    project.wrapped(new="CREATE TABLE public.new ();\n")
    said = project.ok("upgrade", "head").text
    assert f"[1/2] {revision_id(NAMES[0])}" in said
    assert f"[2/2] {revision_id('new')}" in said
    assert set(project.status().values()) == {"SUCCESS"}
