"""Which build is this: read from the variables that CI systems set."""

from __future__ import annotations

import getpass
import re
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
        "DRONE_BUILD_STATUS": {"success": True, "failure": False},
        "SEMAPHORE_JOB_RESULT": {"passed": True, "failed": False, "stopped": False},
        "TRAVIS_TEST_RESULT": {"0": True, "1": False},
    }
)


@dataclass(frozen=True, slots=True)
class CiSystem:
    """The variables of one CI system; ``id`` makes a build unique within its project.

    All of ``project`` are a project's name, of ``id`` the first that is set counts.  Some
    systems do not say ``who``.  ``mark`` is set where another one's number is called the same.
    The first system that a process is in counts.
    """

    number: str
    id: tuple[str, ...]
    project: tuple[str, ...]
    commit: str
    who: str = ""
    mark: str = ""

    def is_in(self, environ: Mapping[str, str]) -> bool:
        """Return whether the variables say that this system has started the process."""
        return all(environ.get(name) for name in (self.number, self.mark) if name)


CI_SYSTEMS = (
    CiSystem(
        number="CODEBUILD_BUILD_NUMBER",
        id=("CODEBUILD_BUILD_ARN", "CODEBUILD_BUILD_ID"),
        project=("CODEBUILD_BUILD_ID",),
        commit="CODEBUILD_RESOLVED_SOURCE_VERSION",
        who="CODEBUILD_INITIATOR",
    ),
    CiSystem(
        number="GITHUB_RUN_NUMBER",
        id=("GITHUB_RUN_ID",),
        project=("GITHUB_REPOSITORY",),
        commit="GITHUB_SHA",
        who="GITHUB_ACTOR",
    ),
    CiSystem(
        number="CI_PIPELINE_IID",
        id=("CI_PIPELINE_ID",),
        project=("CI_PROJECT_PATH",),
        commit="CI_COMMIT_SHA",
        who="GITLAB_USER_LOGIN",
    ),
    CiSystem(
        number="BUILD_BUILDNUMBER",
        id=("BUILD_BUILDID",),
        project=("BUILD_DEFINITIONNAME",),
        commit="BUILD_SOURCEVERSION",
        who="BUILD_REQUESTEDFOR",
    ),
    CiSystem(
        number="BITBUCKET_BUILD_NUMBER",
        id=("BITBUCKET_PIPELINE_UUID",),
        project=("BITBUCKET_REPO_FULL_NAME",),
        commit="BITBUCKET_COMMIT",
        who="BITBUCKET_STEP_TRIGGERER_UUID",
    ),
    CiSystem(
        number="CIRCLE_BUILD_NUM",
        id=("CIRCLE_WORKFLOW_JOB_ID",),
        project=("CIRCLE_PROJECT_REPONAME",),
        commit="CIRCLE_SHA1",
        who="CIRCLE_USERNAME",
    ),
    CiSystem(
        number="BUILDKITE_BUILD_NUMBER",
        id=("BUILDKITE_BUILD_ID",),
        project=("BUILDKITE_PIPELINE_SLUG",),
        commit="BUILDKITE_COMMIT",
        who="BUILDKITE_BUILD_CREATOR",
    ),
    # It sets the variables of Drone, from which it was made, as well.
    CiSystem(
        number="HARNESS_BUILD_ID",
        id=("HARNESS_EXECUTION_ID",),
        project=("HARNESS_PROJECT_ID", "HARNESS_PIPELINE_ID"),
        commit="DRONE_COMMIT_SHA",
        who="HARNESS_USER_ID",
    ),
    CiSystem(
        number="DRONE_BUILD_NUMBER",
        id=("DRONE_BUILD_LINK", "DRONE_BUILD_NUMBER"),
        project=("DRONE_REPO",),
        commit="DRONE_COMMIT_SHA",
        who="DRONE_BUILD_TRIGGER",
    ),
    CiSystem(
        number="CI_PIPELINE_NUMBER",
        id=("CI_PIPELINE_NUMBER",),
        project=("CI_REPO",),
        commit="CI_COMMIT_SHA",
        who="CI_PIPELINE_AUTHOR",
    ),
    CiSystem(
        number="TRAVIS_BUILD_NUMBER",
        id=("TRAVIS_BUILD_ID",),
        project=("TRAVIS_REPO_SLUG",),
        commit="TRAVIS_COMMIT",
    ),
    CiSystem(
        number="APPVEYOR_BUILD_NUMBER",
        id=("APPVEYOR_BUILD_ID",),
        project=("APPVEYOR_REPO_NAME",),
        commit="APPVEYOR_REPO_COMMIT",
        who="APPVEYOR_REPO_COMMIT_AUTHOR",
    ),
    CiSystem(
        number="SEMAPHORE_WORKFLOW_NUMBER",
        id=("SEMAPHORE_WORKFLOW_ID",),
        project=("SEMAPHORE_PROJECT_NAME",),
        commit="SEMAPHORE_GIT_SHA",
        who="SEMAPHORE_PIPELINE_PROMOTED_BY",
    ),
    CiSystem(
        number="GO_PIPELINE_COUNTER",
        id=("GO_PIPELINE_COUNTER",),
        project=("GO_PIPELINE_NAME",),
        commit="GO_REVISION",
        who="GO_TRIGGER_USER",
    ),
    CiSystem(
        number="CF_BUILD_ID",
        id=("CF_BUILD_ID",),
        project=("CF_PIPELINE_NAME",),
        commit="CF_REVISION",
        who="CF_BUILD_INITIATOR",
    ),
    # Its result keys tell the jobs of a build apart, which are one build here.
    CiSystem(
        number="bamboo_buildNumber",
        id=("bamboo_buildNumber",),
        project=("bamboo_planKey",),
        commit="bamboo_planRepository_revision",
        who="bamboo_ManualBuildTriggerReason_userName",
    ),
    CiSystem(
        number="BUILD_NUMBER",
        id=("BUILD_NUMBER",),
        project=("TEAMCITY_PROJECT_NAME", "TEAMCITY_BUILDCONF_NAME"),
        commit="BUILD_VCS_NUMBER",
        mark="TEAMCITY_VERSION",
    ),
    CiSystem(
        number="BUILD_NUMBER",
        id=("BUILD_URL", "BUILD_TAG"),
        project=("JOB_NAME",),
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
    system = next((known for known in CI_SYSTEMS if known.is_in(environ)), None)
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
    starters = (environ.get(known.who) for known in CI_SYSTEMS if known.is_in(environ))
    return harmless(next((name for name in starters if name), None) or _login())


def _build(number: str, system: CiSystem | None, environ: Mapping[str, str]) -> Build:
    if system is None:
        return Build(number=number, id=number, who=person(environ))
    found = (environ[variable] for variable in system.id if environ.get(variable))
    project = "/".join(_project(environ, name, system) for name in system.project)
    unique = next(found, number)
    # Such as CodeBuild's id, and Jenkins' tag, which name their project.
    is_whole = not project or re.search(rf"(?<!\w){re.escape(project)}(?!\w)", unique)
    return Build(
        number=number,
        id=unique if is_whole else f"{project}:{unique}",
        project=project,
        commit=environ.get(system.commit) or None,
        who=person(environ),
    )


def _project(environ: Mapping[str, str], name: str, system: CiSystem) -> str:
    value = environ.get(name, "")
    return value.split(":")[0] if name in system.id else value


def _login() -> str:
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = "unknown"
    return f"{login}@{socket.gethostname()}"
