"""Releases over the control API: the list, the difference of two, and plans."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.api import Wanted
from pipeline.base.errors import ConfigError
from pipeline.http.release_difference import release_difference
from pipeline.runner.stages import load_source
from tests.support.api_daemon import ApiDaemon, api_daemon
from tests.support.fake_stages import FakeStages
from tests.support.shop_pipeline import PIPELINE

MARKER = "\x1b[31m<script>alert(1)</script>"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ApiDaemon]:
    with api_daemon(tmp_path) as found:
        yield found


def changed(text: str) -> str:
    return PIPELINE.replace("target_group: web}", f"target_group: web, {text}}}", 1)


def mirrored(daemon: ApiDaemon) -> None:
    """Fetch the repository into the mirror, as a run does."""
    context = daemon.context.stage_context(cancelled=threading.Event())
    load_source(context.configuration).plan(context, Wanted("main"))


def test_releases_are_listed_as_by_the_command(daemon: ApiDaemon) -> None:
    """The newest is first, each with its configuration."""
    for sha in "ab":
        daemon.release(sha * 40)
    found = daemon.get("releases")
    assert [(each["number"], each["state"], each["sha"]) for each in found] == [
        (2, "active", "b" * 40),
        (1, "retired", "a" * 40),
    ]
    assert found[0]["spec"]["services"]["web"]["target_group"] == "web"


def test_two_releases_are_compared(daemon: ApiDaemon) -> None:
    """The commits come from the mirror. A comparison the other way says what a rollback takes back."""
    one = daemon.work.first
    two, three = daemon.work.commit("two"), daemon.work.commit("three")
    mirrored(daemon)
    daemon.release(one, changed("memory: 256M, environment: {LEVEL: info}"), image="a")
    daemon.release(three, changed("environment: {LEVEL: debug, TOKEN: abc}"), image="b")
    found = daemon.get("releases/1/compare/2")
    assert (found["before"]["number"], found["after"]["number"]) == (1, 2)
    assert [each["sha"] for each in found["added"]] == [three, two]
    assert found["added"][0].keys() == {"sha", "author", "subject", "committed_at"}
    assert (found["added"][0]["subject"], found["added"][0]["author"], found["removed"]) == ("Say three", "Ann", [])
    assert found["images"] == [{"service": "web", "before": "shop:a sha256:a", "after": "shop:b sha256:b"}]
    assert found["configuration"] == [
        {"key": "deploy.environment.LEVEL", "change": "changed", "before": "info", "after": "debug"},
        {"key": "deploy.environment.TOKEN", "change": "added", "before": None, "after": "(hidden)"},
        {"key": "deploy.memory", "change": "removed", "before": "256MiB", "after": None},
    ]
    back = daemon.get("releases/2/compare/1")
    assert ([each["sha"] for each in back["removed"]], back["added"]) == ([three, two], [])


def test_commits_that_the_mirror_lacks_are_not_known(daemon: ApiDaemon) -> None:
    """The rest is compared all the same. Nothing is fetched."""
    daemon.release("a" * 40)
    daemon.release(daemon.work.first)
    found = daemon.get("releases/1/compare/2")
    assert (found["added"], found["removed"], found["configuration"]) == (None, None, [])
    assert daemon.get("releases/2/compare/2")["added"] == []


def test_diverged_branches_have_commits_on_both_sides(daemon: ApiDaemon) -> None:
    """A commit that is gone from the second release is one that it takes out of service."""
    daemon.work.git("checkout", "--quiet", "-b", "other")
    other = daemon.work.commit("other")
    daemon.work.git("checkout", "--quiet", "main")
    two = daemon.work.commit("two")
    mirrored(daemon)
    daemon.release(other)
    daemon.release(two)
    found = daemon.get("releases/1/compare/2")
    assert ([each["sha"] for each in found["added"]], [each["sha"] for each in found["removed"]]) == ([two], [other])


def test_hostile_subjects_stay_one_line_of_text(daemon: ApiDaemon) -> None:
    """Control characters are escaped."""
    daemon.work.git("commit", "--quiet", "--allow-empty", "-m", MARKER)
    mirrored(daemon)
    daemon.release(daemon.work.first)
    daemon.release(daemon.work.git("rev-parse", "HEAD"))
    (commit,) = daemon.get("releases/1/compare/2")["added"]
    assert commit["subject"] == "\\x1b[31m<script>alert(1)</script>"


def test_values_of_secrets_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier file may have had a secret as a plain value."""
    monkeypatch.setenv("KEY", "seven-secret-words")
    text = changed('environment: {GREETING: "${secret:KEY}"}')
    with api_daemon(tmp_path, text) as daemon:
        daemon.release("a" * 40, changed("environment: {GREETING: seven-secret-words}"))
        daemon.release("b" * 40, text)
        (change,) = release_difference(daemon.context, 1, 2).configuration
    assert (change.before, change.after) == ("***", "${secret:KEY}")


def test_services_and_their_own_images_are_compared(daemon: ApiDaemon) -> None:
    """The keys are those of pipeline.yaml. A service that only one of the two has is listed."""
    one, two = "{web: {target_group: web, memory: %s}", ", worker: {command: [work]}}"
    for services in (one % "512M" + "}", one % "1G" + two):
        daemon.release("a" * 40, PIPELINE.replace("{target_group: web}", f"{{services: {services}}}", 1))
    found = daemon.get("releases/1/compare/2")
    assert found["images"] == [{"service": "worker", "before": None, "after": "shop:a sha256:a"}]
    changes = {each["key"]: (each["before"], each["after"]) for each in found["configuration"]}
    assert changes["deploy.services.web.memory"] == ("512MiB", "1GiB")
    assert changes["deploy.services.worker.command"] == (None, ["work"])
    assert "deploy.services.worker.retain" not in changes


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("releases/1/compare/2", "shop has no release 1"),
        ("releases/x/compare/2", "shop has no release x"),
        ("releases/1/compare/99999999999999999999", "shop has no release 99999999999999999999"),
        ("plan/rollback?release=x", "release: Input should be a valid integer, unable to parse string as an integer"),
        ("plan/rollback?release=0", "release: Input should be greater than or equal to 1"),
        ("plan/rollback?release=7", "there is no release 7"),
        ("plan/rollback", "there is no previous release to roll back to"),
    ],
)
def test_bad_requests_are_explained(daemon: ApiDaemon, path: str, message: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(ConfigError) as error:
        daemon.get(path)
    assert error.value.message == message


def test_plans(daemon: ApiDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan has the steps of each stage, and what the run would wait for. Planning begins no stage."""
    stages = FakeStages(lambda _: None)
    stages.install(monkeypatch)
    daemon.store.transitions.disable("shop", "deploy", "a freeze")
    waits = "wait until `pipeline transition enable deploy`: the transition is disabled: a freeze"
    assert daemon.get("plan", commit="main") == {"source": [], "build": [], "deploy": [waits]}
    for sha in "ab":
        daemon.release(sha * 40)
    assert daemon.get("plan/rollback") == {
        "release": 1,
        "deploy": [waits, "put release 1 back", "healthy targets: all"],
        "facts": ["healthy targets: all"],
    }
    assert daemon.get("plan/rollback", release=1)["release"] == 1
    with pytest.raises(ConfigError, match="release 2 is already active"):
        daemon.get("plan/rollback", release=2)
    assert stages.passed == []
