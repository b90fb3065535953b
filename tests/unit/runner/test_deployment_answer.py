"""`pipeline promote` and `pipeline abort`: what they answer, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.runner.deployment_answer import abort, promote, ways_to_end
from pipeline.store.deployment_answers import DeploymentWait
from pipeline.store.queue import RunRequest
from pipeline.store.records import DeploymentState, Trigger
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock

SPEC = '{"services": {"web": {}, "worker": {}, "nightly": {"schedule": "0 3 * * *"}}}'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The store of a home with release 1."""
    with Store(tmp_path / "db") as store:
        store.releases.create("shop", 1, sha="a" * 40, subject="s", image_id="i", image_tag="t", spec=SPEC)
        yield store


def wait(store: Store, service: str = "web", name: str = "AfterInstall[0]") -> DeploymentWait:
    """Let the deployment in progress wait, or one that begins."""
    row = store.deployments.open("shop") or store.deployments.begin("shop", 1, None, 1)
    event = name.partition("[")[0]
    return store.deployment_answers.begin(row.id, service, name, f"the pause in {event}", FakeClock().now())


def refusal(answer: object, store: Store, *arguments: str) -> tuple[str, str | None]:
    """Return the message and the hint of a refused answer."""
    assert callable(answer)
    with pytest.raises(ConfigError) as error:
        answer(store, "shop", "ann", *arguments)
    return error.value.message, error.value.hint


@pytest.mark.parametrize("service", [None, "web"])
def test_the_only_wait_is_promoted(store: Store, service: str | None) -> None:
    """With or without its service. The second answer is told of the first."""
    found = wait(store)
    effect = "web: the pause in AfterInstall ends, and the deployment continues"
    assert promote(store, "shop", "ann", service) == effect
    assert promote(store, "shop", "bob", service) == f"{effect} (promoted before by ann)"
    assert store.deployment_answers.promoted_by(found) == "ann"


def test_one_of_several_waits_is_named(store: Store) -> None:
    """The others wait on."""
    first, second = wait(store), wait(store, "worker")
    assert refusal(promote, store) == ("web, worker wait", "name one: pipeline promote web")
    promote(store, "shop", "ann", "worker")
    answers = store.deployment_answers
    assert (answers.promoted_by(first), answers.promoted_by(second)) == (None, "ann")


def test_a_deployment_that_does_not_wait_is_not_promoted(store: Store) -> None:
    """Neither before its first pause nor after it."""
    store.deployments.begin("shop", 1, None, 1)
    expected = (
        "the deployment of release 1 does not wait",
        "promote ends a pause or a bake time; the deployment continues by itself now",
    )
    assert refusal(promote, store) == expected
    store.deployment_answers.end(wait(store))
    assert refusal(promote, store) == expected


def test_another_service_waits(store: Store) -> None:
    """The error names the one that does, and the services of the release."""
    wait(store)
    assert refusal(promote, store, "worker") == (
        "worker does not wait, but web does: the pause in AfterInstall",
        "pipeline promote web",
    )
    for service in ("api", "nightly"):
        expected = (f"release 1 has no service {service}", "its services are web, worker")
        assert refusal(promote, store, service) == expected
        assert refusal(abort, store, "", service) == expected


def test_no_deployment_is_in_progress(store: Store) -> None:
    """The hint says what a user may have meant."""
    message = "shop has no deployment in progress"
    for answer in (promote, abort):
        assert refusal(answer, store) == (message, "`pipeline rollback` deploys an earlier release")
    store.queue.put("shop", [RunRequest(Trigger.COMMAND)], mode="queued")
    store.queue.claim("shop", "queued")
    hint = "run 1 has not begun to deploy; stop it with `pipeline cancel 1`"
    assert refusal(abort, store) == (message, hint)
    store.queue.await_approval("shop", 1)
    assert refusal(promote, store) == (message, "run 1 waits for approval: pipeline approve 1")


def test_a_deployment_is_aborted_once(store: Store) -> None:
    """Whether it waits or not, and with the user and the reason. Nothing is promoted afterwards."""
    row = store.deployments.begin("shop", 4, None, 1)
    effect = "run 4 is rolled back to nothing, because no release was active before"
    assert abort(store, "shop", "ann", "slow", "web") == effect
    assert abort(store, "shop", "bob") == f"{effect} (aborted before by ann)"
    found = store.deployment_answers.aborted(row.id)
    assert found is not None
    assert found.reason == "aborted by ann: slow"
    wait(store)
    assert refusal(promote, store) == ("the deployment was aborted by ann", None)


@pytest.mark.parametrize(("to", "effect"), [(2, "release 1"), (1, "release 1 as it was")])
def test_the_effect_names_the_release(store: Store, to: int, effect: str) -> None:
    """A deployment to the active release, such as `pipeline scale`, goes back to how it was."""
    store.releases.create("shop", 1, sha="a" * 40, subject="s", image_id="i", image_tag="t", spec=SPEC)
    store.deployments.begin("shop", 3, 1, to)
    assert abort(store, "shop", "ann") == f"run 3 is rolled back to {effect}"


def test_a_down_is_neither_aborted_nor_promoted(store: Store) -> None:
    """It has removed containers, so there is no way back."""
    row = store.deployments.begin("shop", 3, 1, None)
    assert refusal(abort, store) == (
        "`pipeline down` cannot be aborted",
        "`pipeline run` deploys again afterwards",
    )
    assert refusal(promote, store)[0] == "`pipeline down` does not wait"
    assert store.deployment_answers.aborted(row.id) is None


def test_a_deployment_that_has_ended_is_not_answered(store: Store) -> None:
    """A finished one is none in progress."""
    row = store.deployments.begin("shop", 3, None, 1)
    store.deployments.finish(row, DeploymentState.SUCCEEDED)
    assert refusal(abort, store)[0] == "shop has no deployment in progress"


def test_the_ways_to_end_a_deployment(store: Store) -> None:
    """There are none without one, and for `pipeline down`, which cannot be aborted."""
    assert ways_to_end(store, "shop") == ""
    wait(store)
    wait(store, "worker")
    assert ways_to_end(store, "shop") == (
        "the deployment of release 1 waits (web: the pause in AfterInstall; worker: the pause in AfterInstall): "
        "`pipeline promote` continues it, `pipeline abort` rolls it back"
    )
