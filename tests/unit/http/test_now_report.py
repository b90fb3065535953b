"""What all pipelines are doing now: sentences, runs and what waits for a user."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, Target, TargetHealth, TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from pipeline.base.home import Home
from pipeline.cli import now
from pipeline.events import Event
from pipeline.http.now_report import NowReports
from pipeline.http.responses.now import PipelineNowResponse
from pipeline.runner.deployment_answer import promote
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase
from pipeline.store.queue import RunRequest
from pipeline.store.records import DeploymentState, RunState, Trigger
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.started_runs import begin_run

BALANCER = {
    "target_groups": {"web": {"port": 8080}},
    "load_balancers": {"edge": {"listeners": [{"port": 8000, "default_action": {"forward": "web"}}]}},
}
ONE_SERVICE = json.dumps({"services": {"web": {"target_group": "web"}, "mail": {"target_group": None}}})
WORKERS = json.dumps({"services": {"mail": {"target_group": None}}})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    found = Home.locate()
    found.balancer.mkdir(parents=True, exist_ok=True)
    RegistryFile(found.balancer / "registry.json").write(
        Registry().declare("shop", Declaration.model_validate(BALANCER))
    )
    monkeypatch.setattr(Balancer, "pid", lambda _: 7)
    return found


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with Store(home.database) as store:
        yield store


@pytest.fixture
def healths(monkeypatch: pytest.MonkeyPatch) -> list[TargetHealth]:
    """The health of the targets, which a test fills."""
    found: list[TargetHealth] = []
    monkeypatch.setattr(Balancer, "target_health", lambda *_: tuple(found))
    return found


def health(name: str, state: TargetState, in_flight: int = 0) -> TargetHealth:
    target = Target(id=name, address="10.1.0.3", port=8080)
    return TargetHealth(target=target, state=state, since=datetime(2026, 11, 24, tzinfo=UTC), in_flight=in_flight)


def activate(store: Store, spec: str = ONE_SERVICE, wanted: dict[str, int] | None = None) -> None:
    """Make release 1 the active one."""
    begin_run(store, "shop")
    release = store.releases.create(
        "shop", 1, sha="a" * 40, subject="Carts", image_id="sha256:1", image_tag="shop:1", spec=spec
    )
    deployment = store.deployments.begin("shop", 1, None, release.number)
    store.deployments.finish(deployment, DeploymentState.SUCCEEDED, wanted=wanted or {"web": 2, "mail": 3})
    store.runs.finish("shop", 1, RunState.SUCCEEDED)


def shop(home: Home, store: Store) -> PipelineNowResponse:
    (found,) = NowReports(home, store, open_balancer(home.balancer)).now(["shop"]).pipelines
    return found


def test_nothing_is_deployed(home: Home, store: Store, healths: list[TargetHealth]) -> None:
    """Without a release, a pipeline is unused."""
    found = shop(home, store)
    assert (found.state, found.sentence, found.release) == ("unused", "no active release", None)
    assert (found.activities, found.questions, found.problems) == ([], [], [])


@pytest.mark.parametrize(
    ("states", "state", "sentence"),
    [
        (["healthy", "healthy"], "healthy", "release 1 serves, 2 of 2 healthy"),
        (["healthy"], "degraded", "release 1 serves, 1 of 2 healthy"),
        (["healthy", "unhealthy"], "degraded", "release 1 serves, 1 of 2 healthy"),
        (["healthy", "healthy", "draining"], "healthy", "release 1 serves, 2 of 2 healthy"),
        (["healthy", "healthy", "initial"], "degraded", "release 1 serves, 2 of 3 healthy"),
        (["unhealthy", "draining"], "unhealthy", "release 1 serves, 0 of 2 healthy"),
        ([], "unhealthy", "release 1 serves, 0 of 2 healthy"),
    ],
)
def test_what_serves(
    home: Home, store: Store, healths: list[TargetHealth], states: list[str], state: str, sentence: str
) -> None:
    """Targets that are missing count as well, and those that drain do not. Services without targets are left out."""
    activate(store)
    healths += [health(f"shop.web-{at}", TargetState(name), in_flight=2) for at, name in enumerate(states)]
    found = shop(home, store)
    assert (found.state, found.sentence) == (state, sentence)
    assert (found.draining, found.in_flight) == (states.count("draining"), 2 * len(states))
    assert (found.release, found.sha, found.subject) == (1, "a" * 40, "Carts")


def test_a_rollout_degrades_nothing(home: Home, store: Store, healths: list[TargetHealth]) -> None:
    """A container that it adds is not missed while its health checks run. An old one that fails is."""
    activate(store)
    healths += [health(f"shop.web-{at}", TargetState.HEALTHY) for at in range(2)]
    healths.append(health("shop.web-2", TargetState.INITIAL))
    store.deployments.begin("shop", 2, 1, 2)
    assert (shop(home, store).sentence, shop(home, store).draining) == ("release 1 serves, 2 of 2 healthy", 0)
    healths[0] = health("shop.web-0", TargetState.UNHEALTHY)
    assert shop(home, store).sentence == "release 1 serves, 1 of 2 healthy"


def begin_canary(store: Store, **shares: float) -> None:
    """Begin a deployment of release 2 whose services have these shares. Without any requests, it is being installed."""
    store.queue.put("shop", [RunRequest(Trigger.COMMAND)])
    store.queue.claim("shop", "superseded")
    row, since = store.deployments.begin("shop", 2, 1, 2, "canary"), FakeClock().now()
    for service, share in shares.items():
        phase = ShiftPhase.SHIFT if share else ShiftPhase.INSTALL
        store.progress.set(row, ServiceProgress(service, "canary", phase, since, steps=2, share=share))


@pytest.mark.parametrize(
    ("shares", "new", "old", "sentence", "healthy"),
    [
        (
            {"web": 10.0},
            ["healthy"],
            2,
            "release 2 gets 10 %, 1 of 1 healthy; release 1 serves, 2 of 2 healthy",
            3,
        ),
        (
            {"web": 10.0},
            ["healthy"],
            1,
            "release 2 gets 10 %, 1 of 1 healthy; release 1 serves, 1 of 2 healthy",
            2,
        ),
        (
            {"web": 2.5},
            ["unhealthy"],
            2,
            "release 2 gets 2.5 %, 0 of 1 healthy; release 1 serves, 2 of 2 healthy",
            2,
        ),
        (
            {"web": 0.0},
            ["initial", "healthy"],
            2,
            "release 2 gets no requests yet, 1 of 2 healthy; release 1 serves, 2 of 2 healthy",
            3,
        ),
        (
            {"web": 10.0, "api": 50.0},
            ["healthy", "healthy", "draining"],
            2,
            "release 2 gets 10 % of web and 50 % of api, 2 of 2 healthy; release 1 serves, 2 of 2 healthy",
            4,
        ),
    ],
)
def test_a_canary_is_counted_by_itself(
    home: Home,
    store: Store,
    healths: list[TargetHealth],
    shares: dict[str, float],
    new: list[str],
    old: int,
    sentence: str,
    healthy: int,
) -> None:
    """A healthy target of the new release does not stand in for one of the active release that is missing."""
    activate(store)
    begin_canary(store, **shares)
    healths += [health(f"shop.web.r1.{at}", TargetState.HEALTHY) for at in range(old)]
    healths += [health(f"shop.web.r2.{at}", TargetState(each)) for at, each in enumerate(new)]
    found = shop(home, store)
    assert (found.sentence, found.healthy) == (sentence, healthy)
    assert found.targets == 2 + len([each for each in new if each not in ("initial", "draining")])


def test_the_urls_are_those_of_its_listeners(home: Home, store: Store, healths: list[TargetHealth]) -> None:
    """A pipeline without listeners has none."""
    (own, other) = NowReports(home, store, open_balancer(home.balancer)).now(["shop", "blog"]).pipelines
    assert (own.urls, other.urls) == (["http://localhost:8000"], [])


def test_a_release_without_targets(home: Home, store: Store, healths: list[TargetHealth]) -> None:
    """Workers have no health that the balancer knows."""
    activate(store, WORKERS, {"mail": 3})
    assert (shop(home, store).state, shop(home, store).sentence) == ("healthy", "release 1 is active")


def test_a_run_that_waits_for_approval(home: Home, store: Store, healths: list[TargetHealth]) -> None:
    """It is a question with two answers, and the activity has none of the commands of `pipeline status`."""
    store.queue.put("shop", [RunRequest(Trigger.COMMAND, sha="b" * 40, subject="Pay")])
    store.queue.claim("shop", "superseded")
    store.queue.await_approval("shop", 1)
    store.queue.put("shop", [RunRequest(Trigger.COMMAND)])
    found = shop(home, store)
    (question,) = found.questions
    assert (question.kind, question.run, question.answers) == ("approval", 1, ["approve", "reject"])
    assert question.text == "run 1 waits for approval (bbbbbbb Pay)"
    assert all(each.is_waiting for each in found.activities)
    assert [(each.run, each.text, each.answers) for each in found.activities] == [
        (1, "run 1 waits for approval (bbbbbbb Pay)", ["cancel"]),
        (2, "run 2 waits in the queue", ["cancel"]),
    ]


def test_a_deployment_that_waits(home: Home, store: Store, healths: list[TargetHealth]) -> None:
    """The pause of a hook is a question until it is promoted. A bake time is none."""
    store.queue.put("shop", [RunRequest(Trigger.COMMAND)])
    store.queue.claim("shop", "superseded")
    row, clock = store.deployments.begin("shop", 1, None, 1), FakeClock()
    store.deployment_answers.begin(row.id, "api", "step[0]", "the bake time of step 1", clock.now())
    wait = store.deployment_answers.begin(
        row.id, "web", "AfterInstall[0]", "the pause in AfterInstall", clock.now(), clock.now().wall - clock.now().wall
    )
    (question,) = shop(home, store).questions
    assert (question.kind, question.service, question.answers) == ("promotion", "web", ["promote", "abort"])
    assert question.text == "web waits: the pause in AfterInstall"
    assert shop(home, store).activities[0].answers == []
    assert wait.is_pause


def test_a_bake_time(home: Home, store: Store, healths: list[TargetHealth]) -> None:
    """A bake time ends by itself, so it is no question. It can be promoted until it was."""
    store.queue.put("shop", [RunRequest(Trigger.COMMAND)])
    store.queue.claim("shop", "superseded")
    row = store.deployments.begin("shop", 1, None, 1)
    store.deployment_answers.begin(row.id, "web", "step[0]", "the bake time at 20 %", FakeClock().now())
    found = shop(home, store)
    assert (found.questions, found.activities[0].answers) == ([], ["promote", "abort"])
    assert found.activities[0].text == "run 1 waits in Deploy: web: the bake time at 20 %"
    promote(store, "shop", "ann", None)
    assert shop(home, store).activities[0].answers == ["cancel"]


def test_other_questions(home: Home, store: Store, healths: list[TargetHealth]) -> None:
    """A disabled transition, and a run that failed until there is a newer one."""
    begin_run(store, "shop")
    store.runs.finish("shop", 1, RunState.ROLLED_BACK, "web did not become healthy")
    store.transitions.disable("shop", "deploy", "a freeze")
    found = [(each.kind, each.text, each.answers) for each in shop(home, store).questions]
    assert found == [
        ("transition", "transition into Deploy is disabled: a freeze", ["enable"]),
        ("failure", "run 1 rolled back: web did not become healthy", ["retry"]),
    ]
    store.queue.put("shop", [RunRequest(Trigger.COMMAND)])
    found = [(each.kind, each.text, each.answers) for each in shop(home, store).questions]
    assert found == [("transition", "transition into Deploy is disabled: a freeze, 1 run in the queue", ["enable"])]


def test_the_latest_events(home: Home, store: Store, healths: list[TargetHealth]) -> None:
    """They are those of all pipelines, newest first."""
    for number in range(20):
        store.events.record(Event("run.started", str(number), "shop" if number % 2 else "blog"))
    found = NowReports(home, store, open_balancer(home.balancer)).now([])
    assert [event.message for event in found.events] == [str(number) for number in range(19, 7, -1)]


def test_the_command(home: Home, store: Store, healths: list[TargetHealth]) -> None:
    """`pipeline now` prints the sentences with the commands that answer, and the same as the API as JSON."""
    store.pipelines.set_file("shop", Path("/srv/shop/pipeline.yaml"))
    activate(store)
    healths.append(health("shop.web-1", TargetState.HEALTHY))
    store.transitions.disable("shop", "build", "a freeze")
    done = CliRunner().invoke(now.command, [], catch_exceptions=False)
    assert done.output.splitlines() == [
        "shop: release 1 serves, 1 of 2 healthy",
        "  transition into Build is disabled: a freeze: `pipeline transition enable build -p shop`",
    ]
    data: dict[str, Any] = json.loads(CliRunner().invoke(now.command, ["--json"], catch_exceptions=False).output)
    assert data["pipelines"] == [shop(home, store).as_data()]
