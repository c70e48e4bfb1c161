"""``alembic pgpipe init``: start a project, or bring one that exists under the plugin."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib import resources
from pathlib import Path

from alembic.config import Config

from alembic_pgpipe.configuration import refuse_unreadable
from alembic_pgpipe.settings import project_folder

SECTION = "[alembic]"
OPTION = "pgpipe."
KEEP = ".gitkeep"
# What each run leaves and nobody commits, by the patterns that cover it; the first is written.
IGNORED = (
    ("__pycache__/", "__pycache__", "*.pyc", "*.py[co]", "*.py[cod]"),
    ("migration.log", "/migration.log", "*.log"),
)


class Written(Enum):
    """What became of a file."""

    NEW = "written"
    EXTENDED = "extended"
    KEPT = "left as it is"


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file of the project, what became of it, and what is left to do by hand."""

    path: str
    written: Written
    advice: str = ""


def init(config: Config, directory: str = "alembic") -> tuple[ProjectFile, ...]:
    """Write alembic.ini, env.py, the template, the folders, buildspec.yaml and .gitignore.

    Files that exist are never overwritten: alembic.ini and .gitignore are extended, of
    the others the result says what to change.
    """
    refuse_unreadable(config)
    project = project_folder(config)
    location = Path(config.get_alembic_option("script_location") or directory)
    scripts = location if location.is_absolute() else project / location
    return (
        _configuration(project / _configuration_name(config), _shown(project, scripts)),
        _file(project, scripts / "env.py", "env.py", ENV_ADVICE),
        _file(project, scripts / "script.py.mako", "script.py.mako", TEMPLATE_ADVICE),
        *(_folder(project, scripts / name) for name in ("versions", "sql", "routines")),
        _file(project, project / "buildspec.yaml", "buildspec.yaml", BUILDSPEC_ADVICE),
        _ignored(project / ".gitignore"),
    )


ENV_ADVICE = (
    "if it is not yet so: 'from alembic_pgpipe.environment import run', and run(context, "
    "target_metadata=target_metadata) in place of its two run_migrations functions"
)
TEMPLATE_ADVICE = "'alembic revision' keeps writing Python revisions; 'wrap' needs no template"
BUILDSPEC_ADVICE = (
    "the commands it needs: alembic pgpipe check, alembic upgrade head, and last, whatever "
    "failed: alembic pgpipe close"
)


def template(name: str) -> str:
    """Return the text of a file that ``init`` writes."""
    return (resources.files("alembic_pgpipe") / "templates" / name).read_text("utf-8")


def _configuration_name(config: Config) -> str:
    return Path(config.config_file_name or "alembic.ini").name


def _configuration(path: Path, location: str) -> ProjectFile:
    text = template("alembic.ini").replace("%(here)s/alembic", f"%(here)s/{location}", 1)
    if not path.exists():
        path.write_text(text, encoding="utf-8")
        return ProjectFile(path.name, Written.NEW)
    present = path.read_text(encoding="utf-8")
    if OPTION in present:
        return ProjectFile(path.name, Written.KEPT)
    options = text[text.index(f"# {OPTION}") :]
    if SECTION not in present:
        path.write_text(present.rstrip("\n") + "\n\n" + text, encoding="utf-8")
    else:
        before, after = present.split(SECTION, 1)
        path.write_text(f"{before}{SECTION}\n{options.rstrip()}\n{after}", encoding="utf-8")
    return ProjectFile(path.name, Written.EXTENDED)


def _ignored(path: Path) -> ProjectFile:
    """Let git pass over what each run leaves in the project's folder."""
    there = path.exists()
    present = path.read_bytes() if path.is_file() else b""
    known = {line.strip().decode("utf-8", "replace") for line in present.splitlines()}
    lacking = [patterns[0] for patterns in IGNORED if known.isdisjoint(patterns)]
    if path.is_dir() or not lacking:
        return ProjectFile(path.name, Written.KEPT)
    end = b"\r\n" if b"\r\n" in present else b"\n"
    joint = b"" if not present or present.endswith(b"\n") else end
    with path.open("ab") as file:
        file.write(joint + b"".join(line.encode() + end for line in lacking))
    return ProjectFile(path.name, Written.EXTENDED if there else Written.NEW)


def _file(project: Path, path: Path, name: str, advice: str) -> ProjectFile:
    shown = _shown(project, path)
    if path.exists():
        same = path.read_text(encoding="utf-8", errors="replace") == template(name)
        return ProjectFile(shown, Written.KEPT, "" if same else advice)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(template(name), encoding="utf-8")
    return ProjectFile(shown, Written.NEW)


def _folder(project: Path, path: Path) -> ProjectFile:
    """Make a folder that git keeps while it is empty."""
    shown = f"{_shown(project, path)}/"
    if path.is_dir():
        return ProjectFile(shown, Written.KEPT)
    path.mkdir(parents=True)
    (path / KEEP).touch()
    return ProjectFile(shown, Written.NEW)


def _shown(project: Path, path: Path) -> str:
    try:
        return path.relative_to(project).as_posix()
    except ValueError:
        return str(path)
