"""Which build is this: read from the variables that CI systems set."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from alembic_pgpipe.errors import LedgerError, SettingsError
from alembic_pgpipe.model import Build
from alembic_pgpipe.showable import harmless

LOCAL = "local_run"
HEADING = "== build "
# What stands between a number that another build has taken and what tells this one apart.
APART = "@"
# What a CI system says of the whole build while its last commands run.
STATUS_VARIABLES: Mapping[str, Mapping[str, bool]] = MappingProxyType(
    {
        "CODEBUILD_BUILD_SUCCEEDING": {"1": True, "0": False},
        "CI_JOB_STATUS": {"success": True, "failed": False, "canceled": False},
        "AGENT_JOBSTATUS": {
            "Succeeded": True,
            "SucceededWithIssues": True,
            "Failed": False,
            "Canceled": False,
        },
    }
)


@dataclass(frozen=True, slots=True)
class CiSystem:
    """The variables of one CI system; ``id`` makes a build unique among all projects."""

    number: str
    id: tuple[str, ...]
    project: str
    commit: str
    who: str


CI_SYSTEMS = (
    CiSystem(
        number="CODEBUILD_BUILD_NUMBER",
        id=("CODEBUILD_BUILD_ARN", "CODEBUILD_BUILD_ID"),
        project="CODEBUILD_BUILD_ID",
        commit="CODEBUILD_RESOLVED_SOURCE_VERSION",
        who="CODEBUILD_INITIATOR",
    ),
    CiSystem(
        number="GITHUB_RUN_NUMBER",
        id=("GITHUB_RUN_ID",),
        project="GITHUB_REPOSITORY",
        commit="GITHUB_SHA",
        who="GITHUB_ACTOR",
    ),
    CiSystem(
        number="CI_PIPELINE_IID",
        id=("CI_PIPELINE_ID",),
        project="CI_PROJECT_PATH",
        commit="CI_COMMIT_SHA",
        who="GITLAB_USER_LOGIN",
    ),
    CiSystem(
        number="BUILD_BUILDNUMBER",
        id=("BUILD_BUILDID",),
        project="BUILD_DEFINITIONNAME",
        commit="BUILD_SOURCEVERSION",
        who="BUILD_REQUESTEDFOR",
    ),
    CiSystem(
        number="BITBUCKET_BUILD_NUMBER",
        id=("BITBUCKET_PIPELINE_UUID",),
        project="BITBUCKET_REPO_FULL_NAME",
        commit="BITBUCKET_COMMIT",
        who="BITBUCKET_STEP_TRIGGERER_UUID",
    ),
    CiSystem(
        number="CIRCLE_BUILD_NUM",
        id=("CIRCLE_WORKFLOW_JOB_ID",),
        project="CIRCLE_PROJECT_REPONAME",
        commit="CIRCLE_SHA1",
        who="CIRCLE_USERNAME",
    ),
    CiSystem(
        number="BUILDKITE_BUILD_NUMBER",
        id=("BUILDKITE_BUILD_ID",),
        project="BUILDKITE_PIPELINE_SLUG",
        commit="BUILDKITE_COMMIT",
        who="BUILDKITE_BUILD_CREATOR",
    ),
    CiSystem(
        number="BUILD_NUMBER",
        id=("BUILD_URL", "BUILD_TAG"),
        project="JOB_NAME",
        commit="GIT_COMMIT",
        who="BUILD_USER_ID",
    ),
)


def current_build(environ: Mapping[str, str], number_variable: str | None = None) -> Build:
    """Return the build that this process is part of; ``local_run`` outside CI.

    ``number_variable`` is ``pgpipe.build_number_env``: a variable that the user names
    beats those of the known CI systems.  Raises SettingsError where it is not set.
    """
    environ = {name: harmless(value) for name, value in environ.items()}
    system = next((known for known in CI_SYSTEMS if environ.get(known.number)), None)
    if number_variable is not None:
        number = environ.get(number_variable)
        if not number:
            raise SettingsError(
                f"pgpipe.build_number_env names {number_variable}, which is not set here. "
                "Set it, or remove the option."
            )
        return _build(number, system, environ)
    if system is None:
        return Build(number=LOCAL, id=LOCAL, who=person(environ))
    return _build(environ[system.number], system, environ)


def said_to_succeed(environ: Mapping[str, str]) -> bool | None:
    """Return whether the CI system says that the build succeeds; None where it is silent.

    One system's runner may live in another one's build: any failure is one.
    """
    said = [known.get(environ.get(name, "")) for name, known in STATUS_VARIABLES.items()]
    told = [one for one in said if one is not None]
    return all(told) if told else None


def signature(number: str | None, id_: str | None) -> str:
    """Return how the heading of a build's log begins; it tells builds of one number apart."""
    return f"{HEADING}{number} ({id_})"


def own_signature(build: Build) -> str:
    """Return what a log holds that is this build's; on a desk all runs share one."""
    return "" if build.number == LOCAL else signature(build.number, build.id)


def heading(build: Build, now: datetime) -> str:
    """Return the line that begins the log of a run; ``now`` is in UTC."""
    commit = f", commit {build.commit}" if build.commit else ""
    begins = signature(build.number, build.id)
    return f"{begins}, {now:%Y-%m-%d %H:%M:%S} UTC{commit}, by {build.who}"


def row_numbers(build: Build) -> tuple[str, ...]:
    """Return the numbers that a build's row may have, the first that is free or its own."""
    apart = (f"{build.number}{APART}{one}" for one in (build.project or build.id, build.id))
    return tuple(dict.fromkeys((build.number, *apart)))


def numbers_taken(build: Build, schema: str) -> LedgerError:
    """Return the error for a build whose numbers all belong to other builds."""
    return LedgerError(
        f"{schema}.migration_logs has rows of other builds under "
        f"{', '.join(row_numbers(build))}. Name the variable of another number in "
        "pgpipe.build_number_env."
    )


def person(environ: Mapping[str, str]) -> str:
    """Return who is at work: whoever started the CI build, else the login and host."""
    starters = (environ.get(known.who) for known in CI_SYSTEMS if environ.get(known.number))
    return harmless(next((name for name in starters if name), None) or _login())


def _build(number: str, system: CiSystem | None, environ: Mapping[str, str]) -> Build:
    if system is None:
        return Build(number=number, id=number, who=person(environ))
    found = (environ[variable] for variable in system.id if environ.get(variable))
    project = environ.get(system.project, "").split(":")[0]
    unique = next(found, number)
    return Build(
        number=number,
        id=unique if project in unique else f"{project}:{unique}",
        project=project,
        commit=environ.get(system.commit) or None,
        who=person(environ),
    )


def _login() -> str:
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = "unknown"
    return f"{login}@{socket.gethostname()}"
