"""What is asked of TLS; libpq is the one that speaks it.

libpq's own default, ``prefer``, speaks plain text with a server that offers no TLS, and
believes every certificate.  Credentials that come from AWS never travel like that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from alembic_pgpipe.errors import SettingsError
from alembic_pgpipe.settings import SYSTEM_ROOTS, Settings, SslMode, read_sslmode

MODE = "sslmode"
ROOT = "sslrootcert"
# Where libpq looks for authorities when none are named.
HOME_ROOT = "~/.postgresql/root.crt"
NAME_ROOT = (
    "Name the file with the certificates of its authority in pgpipe.sslrootcert; for RDS and "
    "Aurora that is global-bundle.pem, from "
    "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem."
)


@dataclass(frozen=True, slots=True)
class Said:
    """A value, and where it was given, for messages."""

    where: str
    value: str


def is_readable(path: Path) -> bool:
    """Return whether a file is there and may be read."""
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:
        return False


def secured(
    target: URL,
    environ: Mapping[str, str],
    settings: Settings,
    *,
    from_aws: bool,
    iam: bool = False,
    readable: Callable[[Path], bool] = is_readable,
) -> URL:
    """Return the URL with the sslmode and the authorities that hold for it.

    Its own query beats the ``pgpipe.`` options, and those beat PGSSLMODE and PGSSLROOTCERT,
    which libpq reads itself.  ``from_aws`` tells that the credentials come from AWS,
    ``iam`` that they are a token.  Raises SettingsError for a mode that libpq does not
    know, or that is too weak for such credentials, and for authorities that are missing.
    A socket of this machine is left as it is: TLS has no part there.
    """
    if is_socket(target, environ):
        return target
    option = settings.sslmode and settings.sslmode.value
    said = _said(MODE, target, option, environ, from_aws=from_aws)
    root = _said(ROOT, target, settings.sslrootcert, environ, from_aws=from_aws)
    known = root is not None or readable(home_root())
    if said is None:
        mode = _default(settings, from_aws=from_aws, known=known)
    else:
        mode = read_sslmode(said.where, said.value)
        _refuse_weak(said, mode, from_aws=from_aws, iam=iam)
        _refuse_unverifiable(said, mode, known=known or _names_service(target, environ))
    if root is not None and mode is not SslMode.DISABLE:
        _refuse_missing(root, settings, readable)
    # Variables are for libpq to read, which may be told otherwise by a service file; but
    # none may weaken what protects credentials from AWS.
    by_variable = said is not None and settings.sslmode is None
    if from_aws:
        return _completed(target, mode, root.value if root else None)
    return _completed(target, None if by_variable else mode, settings.sslrootcert)


def is_socket(target: URL, environ: Mapping[str, str]) -> bool:
    """Return whether a URL is known to lead to a socket of this machine."""
    if target.query.get("hostaddr") or environ.get("PGHOSTADDR"):
        return False
    given = target.host or target.query.get("host")
    if not given and not _names_service(target, environ):
        given = environ.get("PGHOST")
    hosts = (given or "").split(",") if not isinstance(given, tuple) else given
    return all(host.startswith(("/", "@")) for host in hosts)


def home_root() -> Path:
    """Return where libpq looks for authorities when none are named."""
    try:
        return Path(HOME_ROOT).expanduser()
    except RuntimeError:
        # An account without a home has no such file either.
        return Path(HOME_ROOT)


def believed(target: URL, environ: Mapping[str, str]) -> str:
    """Return whose certificates a secured URL believes: a file's path, or ``system``."""
    root = _said(ROOT, target, None, environ)
    return root.value if root else str(home_root())


def spoken(target: URL, environ: Mapping[str, str]) -> str:
    """Return what is sure to be spoken at a secured URL, for people; empty if unknown."""
    said = _said(MODE, target, None, environ)
    if said is None or is_socket(target, environ) or _names_service(target, environ):
        return ""
    mode = read_sslmode(said.where, said.value)
    if mode is SslMode.DISABLE:
        return "no TLS"
    return f"TLS {mode.value}" if mode.encrypts else ""


def _said(
    name: str,
    target: URL,
    option: str | None,
    environ: Mapping[str, str],
    *,
    from_aws: bool = False,
) -> Said | None:
    variable = f"PG{name.upper()}"
    # A secret speaks through the variables that are not set.
    speaker = f"{variable} (or {name} in the secret)" if from_aws else variable
    places = (
        (f"{name} in the database's URL", target.query.get(name)),
        (f"pgpipe.{name}", option),
        (speaker, environ.get(variable)),
    )
    return next((Said(where, str(value)) for where, value in places if value), None)


def _names_service(target: URL, environ: Mapping[str, str]) -> bool:
    """Return whether a file of libpq's has a say that this module does not know."""
    return bool(target.query.get("service") or environ.get("PGSERVICE"))


def _default(settings: Settings, *, from_aws: bool, known: bool) -> SslMode | None:
    """Return the mode where nobody names one; None leaves it to libpq."""
    if settings.sslrootcert is not None or (from_aws and known):
        return SslMode.VERIFY_FULL
    return SslMode.REQUIRE if from_aws else None


def _completed(target: URL, mode: SslMode | None, root: str | None) -> URL:
    given = {MODE: mode.value if mode else None, ROOT: root}
    return target.update_query_dict(
        {name: value for name, value in given.items() if value and not target.query.get(name)}
    )


def _refuse_weak(said: Said, mode: SslMode, *, from_aws: bool, iam: bool) -> None:
    if mode.encrypts or not (from_aws or iam):
        return
    if iam:
        raise SettingsError(
            f"{said.where} is {mode.value}, but a token of RDS IAM authentication only travels "
            "over TLS. Write require there, or verify-full."
        )
    if mode is not SslMode.DISABLE:
        raise SettingsError(
            f"{said.where} is {mode.value}: a server without TLS would be sent the credentials "
            "from AWS in plain text, without a word. Write require there, or verify-full; "
            "or disable, where plain text is what you want."
        )


def _refuse_unverifiable(said: Said, mode: SslMode, *, known: bool) -> None:
    if mode.verifies and not known:
        raise SettingsError(
            f"{said.where} is {mode.value}, but no authority is known that could have signed "
            f"the server's certificate. {NAME_ROOT}"
        )


def _refuse_missing(root: Said, settings: Settings, readable: Callable[[Path], bool]) -> None:
    """Refuse what libpq would pass over: with ``require`` it then believes every server."""
    if root.value != SYSTEM_ROOTS and not readable(Path(root.value)):
        raise SettingsError(
            f"{root.where} names {settings.shown(Path(root.value))}, which is no file that can "
            f"be read. {NAME_ROOT}"
        )
