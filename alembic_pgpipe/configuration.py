"""Alembic's configuration: read from alembic.ini and pyproject.toml, or refused in a sentence.

No message quotes a line or a value of a file: it may be a password.
"""

from __future__ import annotations

import configparser
import difflib
import re
from pathlib import Path
from typing import Any

from alembic.config import Config

from alembic_pgpipe.errors import SettingsError

LOCATION = "script_location"
AGAIN = "then type the same command again."
# Up to Python 3.13 only the words of the error say where it is.
TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")
NO_OPTION = f"an option is written as NAME = VALUE, a section as [NAME]. Mend it, {AGAIN}"


def read_options(config: Config) -> dict[str, Any]:
    """Return the options of the section that Alembic reads; an .ini file's beat TOML's.

    Raises SettingsError for a file that cannot be read, and for a lone percent sign.
    """
    refuse_unreadable(config)
    try:
        section = config.get_section(config.config_ini_section, {})
    except configparser.InterpolationError as error:
        raise _lone_percent(config.config_file_name, error.option, error.section) from None
    return {**_toml(config), **dict(section)}


def refuse_unreadable(config: Config) -> None:
    """Raise SettingsError, with the line, where a file of the configuration cannot be read."""
    _refuse_ini(config, config.config_file_name)
    try:
        config.toml_alembic_config  # noqa: B018  it is read now, and kept
    except (OSError, ValueError) as error:
        raise SettingsError(f"{config.toml_file_name}{_toml_fault(error)}") from None
    except AttributeError:
        raise SettingsError(
            f"{config.toml_file_name}: 'tool' is not a table. Write [tool.alembic], {AGAIN}"
        ) from None


def _refuse_ini(config: Config, file: str | None) -> None:
    try:
        if file is not None and Path(file).is_file():
            # What may not be opened, Python's parser takes for a file that is not there.
            Path(file).open("rb").close()
        config.file_config  # noqa: B018
    except configparser.Error as error:
        raise SettingsError(f"{file}{_ini_fault(error)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}{_file_fault(error)}") from None


def refuse_homeless(config: Config) -> None:
    """Raise SettingsError where the configuration does not say where the revisions are."""
    refuse_unreadable(config)
    try:
        location = config.get_alembic_option(LOCATION)
    except configparser.InterpolationError as error:
        raise _lone_percent(config.config_file_name, error.option, error.section) from None
    if location is None and config.config_file_name is not None:
        raise SettingsError(_homeless(config, Path(config.config_file_name)))


def _homeless(config: Config, ini: Path) -> str:
    section, files = config.config_ini_section, config.file_config
    if config.toml_alembic_config and not files.has_section(section):
        return _write_location(config.toml_file_name, "tool.alembic", '"%(here)s/alembic"')
    if not ini.is_file():
        return _no_file(ini)
    if files.has_section(section):
        return _write_location(ini, section, "%(here)s/alembic")
    known = [name for name in files.sections() if files.has_option(name, LOCATION)]
    if not known:
        return f"{ini} has no section [{section}]. Let it be written: alembic pgpipe init"
    near = difflib.get_close_matches(section, known, n=1, cutoff=0.5) or known
    return (
        f"{ini} has no section [{section}]. It knows {', '.join(f'[{one}]' for one in known)}. "
        f"Name one of them with -n: alembic -n {near[0]} …"
    )


def _write_location(file: object, section: str, value: str) -> str:
    return (
        f"{file}: [{section}] does not say where the revisions are. Write into it "
        f"{LOCATION} = {value}, {AGAIN}"
    )


def _no_file(ini: Path) -> str:
    folder = ini.absolute().parent
    above = next((one for one in folder.parents if (one / ini.name).is_file()), None)
    missing = f"There is no {ini.name} in {folder}, so no project is known."
    if above is not None:
        return f"{missing} There is one above it. Go there: cd {above}"
    return (
        f"{missing} Go to the project's folder, name its file with -c, or start a project "
        "here: alembic pgpipe init"
    )


def _ini_fault(error: configparser.Error) -> str:
    if isinstance(error, configparser.DuplicateOptionError):
        what = f"{error.option} is given a second time in [{error.section}]"
        return f":{error.lineno}: {what}. Remove one of the two, {AGAIN}"
    if isinstance(error, configparser.DuplicateSectionError):
        what = f"section [{error.section}] begins a second time"
        return f":{error.lineno}: {what}. Make one section of both, {AGAIN}"
    if isinstance(error, configparser.MissingSectionHeaderError):
        what = "this line stands above the first section, such as [alembic]"
        return f":{error.lineno}: {what}. Move it into one, {AGAIN}"
    if isinstance(error, configparser.ParsingError) and error.errors:
        return f":{error.errors[0][0]}: this line cannot be read: {NO_OPTION}"
    return f" cannot be read: {NO_OPTION}"


def _toml_fault(error: OSError | ValueError) -> str:
    if isinstance(error, (OSError, UnicodeDecodeError)):
        return _file_fault(error)
    said = str(error)
    place = TOML_PLACE.search(said)
    line = f":{place[1]}" if place is not None and place[1] else ""
    return f"{line}: this is not TOML: {TOML_PLACE.sub('', said)}. Mend it, {AGAIN}"


def _file_fault(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, OSError):
        return f" cannot be read: {error.strerror or error}. Mend that, {AGAIN}"
    return f" is not text in {error.encoding}. Save it as UTF-8, {AGAIN}"


def _toml(config: Config) -> dict[str, Any]:
    """Return the options in pyproject.toml; TOML makes a table of ``pgpipe.schema = …``."""
    options: dict[str, Any] = {}
    for name, value in config.toml_alembic_config.items():
        if isinstance(value, dict):
            options.update({f"{name}.{inner}": each for inner, each in value.items()})
        else:
            options[name] = value
    return {name: _interpolated(config, name, value) for name, value in options.items()}


def _interpolated(config: Config, name: str, value: object) -> object:
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, (bool, int)) else value
    try:
        return value % dict(config.toml_args)
    except (ValueError, KeyError, TypeError):
        raise _lone_percent(config.toml_file_name, name, "tool.alembic") from None


def _lone_percent(file: str | None, option: str, section: str) -> SettingsError:
    return SettingsError(
        f"{file}: option {option!r} in [{section}] has a percent sign that is not doubled. "
        f"Write %% for each %, {AGAIN}"
    )
