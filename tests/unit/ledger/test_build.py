"""Which build is this: the variables of each CI system, and of a desk."""

from __future__ import annotations

import pytest

from alembic_pgpipe.errors import SettingsError
from alembic_pgpipe.ledger.build import (
    LOCAL,
    current_build,
    person,
    row_numbers,
    said_to_succeed,
)
from alembic_pgpipe.model import Build
from alembic_pgpipe.settings import in_ci

ARN = "arn:aws:codebuild:eu-west-1:123456789012:build/shop:0b1c"
CODEBUILD = {
    "CODEBUILD_BUILD_NUMBER": "12",
    "CODEBUILD_BUILD_ARN": ARN,
    "CODEBUILD_BUILD_ID": "shop:0b1c",
    "CODEBUILD_RESOLVED_SOURCE_VERSION": "abc123",
    "CODEBUILD_INITIATOR": "deployer",
}
JENKINS = {
    "CI": "true",
    "BUILD_NUMBER": "12",
    "BUILD_URL": "https://ci.example/job/shop/12/",
    "BUILD_TAG": "jenkins-shop-12",
    "JOB_NAME": "shop",
    "GIT_COMMIT": "abc123",
    "BUILD_USER_ID": "ann",
}
GITLAB = {
    "CI": "true",
    "CI_PIPELINE_IID": "12",
    "CI_PIPELINE_ID": "90012",
    "CI_PROJECT_PATH": "team/shop",
    "CI_COMMIT_SHA": "abc123",
    "GITLAB_USER_LOGIN": "ann",
}
GITHUB = {
    "CI": "true",
    "GITHUB_RUN_NUMBER": "12",
    "GITHUB_RUN_ID": "90012",
    "GITHUB_REPOSITORY": "team/shop",
    "GITHUB_SHA": "abc123",
    "GITHUB_ACTOR": "ann",
}
AZURE = {
    "BUILD_BUILDNUMBER": "20260301.12",
    "BUILD_BUILDID": "90012",
    "BUILD_DEFINITIONNAME": "shop",
    "BUILD_SOURCEVERSION": "abc123",
    "BUILD_REQUESTEDFOR": "Ann",
}
BITBUCKET = {
    "CI": "true",
    "BITBUCKET_BUILD_NUMBER": "12",
    "BITBUCKET_PIPELINE_UUID": "{90012}",
    "BITBUCKET_REPO_FULL_NAME": "team/shop",
    "BITBUCKET_COMMIT": "abc123",
    "BITBUCKET_STEP_TRIGGERER_UUID": "{ann}",
}
CIRCLECI = {
    "CI": "true",
    "CIRCLE_BUILD_NUM": "12",
    "CIRCLE_WORKFLOW_JOB_ID": "90012",
    "CIRCLE_PROJECT_REPONAME": "shop",
    "CIRCLE_SHA1": "abc123",
    "CIRCLE_USERNAME": "ann",
}
BUILDKITE = {
    "CI": "true",
    "BUILDKITE_BUILD_NUMBER": "12",
    "BUILDKITE_BUILD_ID": "90012",
    "BUILDKITE_PIPELINE_SLUG": "shop",
    "BUILDKITE_COMMIT": "abc123",
    "BUILDKITE_BUILD_CREATOR": "Ann",
}
DRONE = {
    "CI": "true",
    "DRONE_BUILD_NUMBER": "12",
    "DRONE_BUILD_LINK": "https://ci.example/team/shop/12",
    "DRONE_REPO": "team/shop",
    "DRONE_COMMIT_SHA": "abc123",
    "DRONE_BUILD_TRIGGER": "ann",
}
WOODPECKER = {
    "CI": "woodpecker",
    "CI_PIPELINE_NUMBER": "12",
    "CI_PIPELINE_URL": "https://ci.example/repos/7/pipeline/12",
    "CI_REPO": "team/shop",
    "CI_COMMIT_SHA": "abc123",
    "CI_PIPELINE_AUTHOR": "ann",
}
TRAVIS = {
    "CI": "true",
    "TRAVIS_BUILD_NUMBER": "12",
    "TRAVIS_BUILD_ID": "90012",
    "TRAVIS_REPO_SLUG": "team/shop",
    "TRAVIS_COMMIT": "abc123",
}
APPVEYOR = {
    "CI": "True",
    "APPVEYOR_BUILD_NUMBER": "12",
    "APPVEYOR_BUILD_ID": "90012",
    "APPVEYOR_REPO_NAME": "team/shop",
    "APPVEYOR_REPO_COMMIT": "abc123",
    "APPVEYOR_REPO_COMMIT_AUTHOR": "Ann",
}
SEMAPHORE = {
    "CI": "true",
    "SEMAPHORE_WORKFLOW_NUMBER": "12",
    "SEMAPHORE_WORKFLOW_ID": "90012",
    "SEMAPHORE_PROJECT_NAME": "shop",
    "SEMAPHORE_GIT_SHA": "abc123",
    "SEMAPHORE_PIPELINE_PROMOTED_BY": "ann",
}
GOCD = {
    "GO_PIPELINE_COUNTER": "12",
    "GO_PIPELINE_NAME": "shop",
    "GO_REVISION": "abc123",
    "GO_TRIGGER_USER": "ann",
}
TEAMCITY = {
    "TEAMCITY_VERSION": "2025.03",
    "BUILD_NUMBER": "12",
    "TEAMCITY_PROJECT_NAME": "Shop",
    "TEAMCITY_BUILDCONF_NAME": "Deploy",
    "BUILD_VCS_NUMBER": "abc123",
}
# Made from Drone, it sets Drone's variables as well; CI only where that is switched on.
HARNESS = {
    "HARNESS_BUILD_ID": "12",
    "HARNESS_EXECUTION_ID": "kNHtmOaLTu66f_QNU-wdDw",
    "HARNESS_PROJECT_ID": "Shop",
    "HARNESS_PIPELINE_ID": "Deploy",
    "HARNESS_USER_ID": "ann",
    "DRONE_BUILD_NUMBER": "12",
    "DRONE_BUILD_LINK": "https://app.harness.example/executions/kNHtmOaLTu66f_QNU-wdDw",
    "DRONE_REPO": "team/shop",
    "DRONE_COMMIT_SHA": "abc123",
    "DRONE_BUILD_TRIGGER": "webhook",
}
CODEFRESH = {
    "CI": "true",
    "CF_BUILD_ID": "5f1a90012",
    "CF_PIPELINE_NAME": "shop/deploy",
    "CF_REVISION": "abc123",
    "CF_BUILD_INITIATOR": "ann",
}
BAMBOO = {
    "bamboo_buildNumber": "12",
    "bamboo_planKey": "SHOP-SHIP",
    "bamboo_buildResultKey": "SHOP-SHIP-JOB1-12",
    "bamboo_planRepository_revision": "abc123",
    "bamboo_ManualBuildTriggerReason_userName": "ann",
}
EXPECTED = {
    "CodeBuild": (CODEBUILD, Build("12", ARN, "shop", "abc123", "deployer")),
    "Jenkins": (JENKINS, Build("12", JENKINS["BUILD_URL"], "shop", "abc123", "ann")),
    "GitLab": (GITLAB, Build("12", "team/shop:90012", "team/shop", "abc123", "ann")),
    "GitHub": (GITHUB, Build("12", "team/shop:90012", "team/shop", "abc123", "ann")),
    "Azure": (AZURE, Build("20260301.12", "shop:90012", "shop", "abc123", "Ann")),
    "Bitbucket": (BITBUCKET, Build("12", "team/shop:{90012}", "team/shop", "abc123", "{ann}")),
    "CircleCI": (CIRCLECI, Build("12", "shop:90012", "shop", "abc123", "ann")),
    "Buildkite": (BUILDKITE, Build("12", "shop:90012", "shop", "abc123", "Ann")),
    "Drone": (DRONE, Build("12", DRONE["DRONE_BUILD_LINK"], "team/shop", "abc123", "ann")),
    "Woodpecker": (WOODPECKER, Build("12", "team/shop:12", "team/shop", "abc123", "ann")),
    "Travis": (TRAVIS, Build("12", "team/shop:90012", "team/shop", "abc123", person({}))),
    "AppVeyor": (APPVEYOR, Build("12", "team/shop:90012", "team/shop", "abc123", "Ann")),
    "Semaphore": (SEMAPHORE, Build("12", "shop:90012", "shop", "abc123", "ann")),
    "GoCD": (GOCD, Build("12", "shop:12", "shop", "abc123", "ann")),
    "TeamCity": (TEAMCITY, Build("12", "Shop/Deploy:12", "Shop/Deploy", "abc123", person({}))),
    "Harness": (
        HARNESS,
        Build("12", "Shop/Deploy:kNHtmOaLTu66f_QNU-wdDw", "Shop/Deploy", "abc123", "ann"),
    ),
    "Codefresh": (
        CODEFRESH,
        Build("5f1a90012", "shop/deploy:5f1a90012", "shop/deploy", "abc123", "ann"),
    ),
    "Bamboo": (BAMBOO, Build("12", "SHOP-SHIP:12", "SHOP-SHIP", "abc123", "ann")),
}


@pytest.mark.parametrize("system", EXPECTED)
def test_the_build_of_a_ci_system_is_known(system: str) -> None:
    environ, build = EXPECTED[system]
    assert current_build(environ) == build


@pytest.mark.parametrize("system", EXPECTED)
def test_within_a_ci_system_nobody_sits_at_a_desk(system: str) -> None:
    environ, _ = EXPECTED[system]
    assert in_ci(environ)


@pytest.mark.parametrize("system", EXPECTED)
def test_another_number_leaves_the_builds_of_a_system_apart(system: str) -> None:
    environ, build = EXPECTED[system]
    assert current_build({**environ, "RELEASE": "2026.3"}, "RELEASE").id == build.id


def test_jenkins_without_its_url_is_known_by_its_tag() -> None:
    environ = {**JENKINS, "BUILD_URL": ""}
    assert current_build(environ).id == "jenkins-shop-12"


def test_two_projects_with_one_number_have_different_ids() -> None:
    other = {**GITHUB, "GITHUB_REPOSITORY": "team/other"}
    assert current_build(GITHUB).id != current_build(other).id


def test_a_rerun_is_the_same_build() -> None:
    assert current_build({**GITHUB, "GITHUB_RUN_ATTEMPT": "2"}) == current_build(GITHUB)


def test_the_jobs_of_a_plan_of_bamboo_share_its_build() -> None:
    other = {**BAMBOO, "bamboo_buildResultKey": "SHOP-SHIP-JOB2-12"}
    assert current_build(BAMBOO) == current_build(other)


@pytest.mark.parametrize("environ", [{}, {"CODEBUILD_BUILD_NUMBER": ""}])
def test_outside_ci_it_is_a_local_run(environ: dict[str, str]) -> None:
    build = current_build(environ)
    assert (build.number, build.id, build.commit) == (LOCAL, LOCAL, None)
    assert build.who == person({})
    assert "@" in build.who


def test_a_named_variable_beats_the_ci_systems_number_and_keeps_the_rest() -> None:
    build = current_build({**GITHUB, "RELEASE": "2026.3"}, "RELEASE")
    assert build == Build("2026.3", "team/shop:90012", "team/shop", "abc123", "ann")


def test_a_named_variable_outside_ci_is_number_and_id() -> None:
    build = current_build({"RELEASE": "2026.3"}, "RELEASE")
    assert (build.number, build.id) == ("2026.3", "2026.3")


@pytest.mark.parametrize("environ", [{}, {"RELEASE": ""}, GITHUB])
def test_a_named_variable_that_is_not_set_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"pgpipe\.build_number_env names RELEASE"):
        current_build(environ, "RELEASE")


def test_who_is_the_one_who_started_the_build() -> None:
    assert person(GITHUB) == "ann"
    assert person({**GITHUB, "GITHUB_ACTOR": ""}) == person({})


@pytest.mark.parametrize(
    ("environ", "succeeds"),
    [
        ({}, None),
        ({"CODEBUILD_BUILD_SUCCEEDING": "1"}, True),
        ({"CODEBUILD_BUILD_SUCCEEDING": "0"}, False),
        ({"CI_JOB_STATUS": "success"}, True),
        ({"CI_JOB_STATUS": "failed"}, False),
        ({"CI_JOB_STATUS": "canceled"}, False),
        ({"CI_JOB_STATUS": "running"}, None),
        ({"AGENT_JOBSTATUS": "SucceededWithIssues"}, True),
        ({"AGENT_JOBSTATUS": "Canceled"}, False),
        ({"DRONE_BUILD_STATUS": "success"}, True),
        ({"DRONE_BUILD_STATUS": "failure"}, False),
        ({"SEMAPHORE_JOB_RESULT": "passed"}, True),
        ({"SEMAPHORE_JOB_RESULT": "stopped"}, False),
        ({"TRAVIS_TEST_RESULT": "0"}, True),
        ({"TRAVIS_TEST_RESULT": "1"}, False),
    ],
)
def test_ci_systems_say_how_the_build_stands(
    environ: dict[str, str], succeeds: bool | None
) -> None:
    assert said_to_succeed(environ) is succeeds


def test_a_build_has_a_number_of_its_own_where_others_have_taken_it() -> None:
    assert row_numbers(Build("7", "shop:1", project="shop")) == ("7", "7@shop", "7@shop:1")
    assert row_numbers(Build("7", "x")) == ("7", "7@x")
