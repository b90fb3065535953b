"""The hooks of a service: what they run, what they get to know, and what their failure does."""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.api import StageContext
from pipeline.base.errors import Cancelled, EngineFault
from pipeline.config.hooks import LifecycleEvent
from pipeline.config.service import ServiceSettings
from pipeline.config.service_spec import ServiceSpec
from pipeline.engine.container import ContainerSpec
from pipeline.events import Event, Events
from pipeline.store.records import DeploymentState, ReleaseState
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from stages.deploy.hooks import HookFailed, lifecycle_hooks
from stages.deploy.lifecycle import Lifecycle, NoHooks
from tests.support.waiting import DEADLINE, until

COMMIT = "c" * 40
SLEEPER = "import time; print('ready', flush=True); time.sleep(999)"
PRINT = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('PENSTOCK_')}))"
MINUTE = timedelta(minutes=1)


@dataclass
class Log:
    """A run's log in memory."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def line(self, stage: str, text: str) -> None:
        """Keep a line."""
        self.lines.append((stage, text))


@dataclass
class Shop:
    """A pipeline whose release 1 is active, and whose release 2 is being deployed."""

    context: StageContext
    engine: FakeEngine
    clock: FakeClock
    log: Log = field(default_factory=Log)
    heard: list[Event] = field(default_factory=list)
    started: list[ContainerSpec] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)

    def hooks(self, hooks: dict[str, object], release: int = 2, **settings: object) -> Lifecycle:
        """Return the hooks of the service `web`."""
        made = ServiceSettings.model_validate({"hooks": hooks, **settings})
        return lifecycle_hooks(self.context, self.engine, ServiceSpec("web", "sha256:new", made, None), release)

    def run(self, *hooks: dict[str, object], event: str = "BeforeInstall", **settings: object) -> None:
        """Run the hooks of one event."""
        self.hooks({event: list(hooks)}, **settings).run(LifecycleEvent(event))

    def messages(self, kind: str) -> list[str]:
        """Return the messages of a kind of event."""
        return [event.message for event in self.heard if event.kind == kind]


@pytest.fixture
def shop(context: StageContext) -> Shop:
    """A deployment from release 1 to release 2 in progress."""
    store = context.store

    def program(spec: ContainerSpec) -> Program:
        found.started.append(spec)
        return found.programs.pop(0) if found.programs else Program(exit_code=0)

    engine, clock = FakeEngine(program=program), FakeClock(auto_advance=True)
    engine.images.add("sha256:new")
    events = Events("shop", 1)
    log = Log()
    found = Shop(replace(context, clock=clock, events=events, log=log), engine, clock, log)
    events.subscribe(found.heard.append)
    for number in (1, 2):
        made = store.releases.create(
            "shop", 1, sha=COMMIT, subject="s", image_id="i", image_tag="t", spec='{"services": {"web": {}}}'
        )
        row = store.deployments.begin("shop", 1, number - 1 or None, made.number)
        if number == 1:
            store.deployments.finish(row, DeploymentState.SUCCEEDED)
    engine.networks.ensure("shop")
    return found


def test_hooks_run_in_their_order(shop: Shop) -> None:
    """Each after the one before, with an event at its begin and its end."""
    commands = [{"command": [name]} for name in ("one", "two", "three")]
    shop.run(*commands, event="AfterAllowTraffic")
    assert [spec.command for spec in shop.started] == [("one",), ("two",), ("three",)]
    assert shop.messages("hook.started") == [f"AfterAllowTraffic of web: {name}" for name in ("one", "two", "three")]
    assert shop.messages("hook.finished") == ["AfterAllowTraffic of web took 0.0 s"] * 3


def test_only_the_hooks_of_an_event_run(shop: Shop) -> None:
    """Those of another event do not, and an event without any does nothing."""
    hooks = shop.hooks({"AfterAllowTraffic": [{"command": ["a"]}]})
    for event in LifecycleEvent:
        before = len(shop.started)
        hooks.run(event)
        assert len(shop.started) - before == (event == "AfterAllowTraffic")


def test_a_command_runs_in_the_new_image(shop: Shop) -> None:
    """As the release command does: with the service's variables and limits, and removed afterwards."""
    shop.programs.append(Program(lines=("checked",), exit_code=0))
    hook = {"command": ["check", "--fast"], "entrypoint": ["/bin/sh"], "environment": {"B": "hook", "C": "c"}}
    shop.run(hook, environment={"A": "a", "B": "service"}, memory="64MiB", volumes=["data:/data"])
    (spec,) = shop.started
    assert (spec.image, spec.command, spec.entrypoint) == ("sha256:new", ("check", "--fast"), ("/bin/sh",))
    assert (spec.memory, spec.volumes, spec.network) == (2**26, ("data:/data",), shop.engine.networks.name("shop"))
    assert spec.environment == {
        "A": "a",
        "B": "hook",
        "C": "c",
        "PENSTOCK_EVENT": "BeforeInstall",
        "PENSTOCK_PIPELINE": "shop",
        "PENSTOCK_SERVICE": "web",
        "PENSTOCK_RELEASE": "2",
        "PENSTOCK_PREVIOUS_RELEASE": "1",
        "PENSTOCK_COMMIT": COMMIT,
        "PENSTOCK_RUN": "1",
    }
    assert shop.log.lines == [("hook", "checked")]
    assert shop.engine.containers.find(spec.name) is None


def test_the_container_of_a_killed_process_is_a_leftover(shop: Shop) -> None:
    """The next run removes it, as the container of a release command."""
    shop.programs.append(Program())

    def work() -> None:
        # Its container is taken from it.
        with suppress(EngineFault):
            shop.run({"command": ["hang"]})

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: shop.started and shop.engine.containers.find(shop.started[0].name), "the hook runs")
    shop.engine.containers.remove_leftovers("shop", tuple)
    assert shop.engine.containers.find(shop.started[0].name) is None
    thread.join(DEADLINE)


@pytest.mark.parametrize(
    ("strategy", "variables"),
    [
        (None, {}),
        ("blue_green", {}),
        (
            {"type": "blue_green", "test_traffic": {"port": 8081}},
            {"PENSTOCK_TEST_PORT": "8081", "PENSTOCK_TEST_HEADER": ""},
        ),
        (
            {"type": "blue_green", "test_traffic": {"header": {"name": "X-Release", "value": "next"}}},
            {"PENSTOCK_TEST_PORT": "", "PENSTOCK_TEST_HEADER": "X-Release: next"},
        ),
    ],
)
def test_a_hook_knows_the_test_traffic(shop: Shop, strategy: object, variables: dict[str, str]) -> None:
    """The port of the test listener, or the header that `curl -H` takes. Without any, it has no such variable."""
    shop.run({"command": ["smoke"]}, strategy=strategy)
    (spec,) = shop.started
    assert {name: value for name, value in spec.environment.items() if "TEST" in name} == variables


def test_a_program_on_the_host_gets_the_same_variables(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the environment of the process, in the folder of pipeline.yaml."""
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PENSTOCK_HOME", "/somewhere")
    shop.run({"host_command": [sys.executable, "-c", f"{PRINT}; print(os.getcwd())"]})
    (_, printed), (_, folder) = shop.log.lines
    assert json.loads(printed) == {
        "PENSTOCK_HOME": "/somewhere",
        "PENSTOCK_EVENT": "BeforeInstall",
        "PENSTOCK_PIPELINE": "shop",
        "PENSTOCK_SERVICE": "web",
        "PENSTOCK_RELEASE": "2",
        "PENSTOCK_PREVIOUS_RELEASE": "1",
        "PENSTOCK_COMMIT": COMMIT,
        "PENSTOCK_RUN": "1",
    }
    assert Path(folder) == shop.context.configuration.directory


def test_the_first_release_has_no_previous_one(shop: Shop) -> None:
    """The variable is empty."""
    (open_row,) = [shop.context.store.deployments.open("shop")]
    assert open_row is not None
    shop.context.store.deployments.finish(open_row, DeploymentState.FAILED)
    made = shop.context.store.releases.create(
        "shop", 1, sha=COMMIT, subject="s", image_id="i", image_tag="t", spec="{}"
    )
    shop.context.store.deployments.begin("shop", 1, None, made.number)
    shop.hooks({"BeforeInstall": [{"command": ["a"]}]}, made.number).run(LifecycleEvent.BEFORE_INSTALL)
    assert shop.started[0].environment["PENSTOCK_PREVIOUS_RELEASE"] == ""


@pytest.mark.parametrize(
    ("hook", "program", "message"),
    [
        (
            {"command": ["check", "--fast"]},
            Program(lines=("no", "table"), exit_code=3),
            "the hook BeforeInstall of web (`check --fast`) failed with exit code 3",
        ),
        (
            {"host_command": ["/bin/sh", "-c", "echo no; echo table; exit 4"]},
            None,
            "the hook BeforeInstall of web (`/bin/sh -c 'echo no; echo table; exit 4'`) failed with exit code 4",
        ),
    ],
)
def test_a_hook_that_fails(shop: Shop, hook: dict[str, object], program: Program | None, message: str) -> None:
    """The error names it and has the last lines, which the log has once. Later hooks do not run."""
    if program:
        shop.programs.append(program)
    with pytest.raises(HookFailed) as error:
        shop.run(hook, {"command": ["later"]})
    assert (error.value.message, error.value.tail) == (message, ("no", "table"))
    assert shop.log.lines == [("hook", "no"), ("hook", "table")]
    assert ("later",) not in [spec.command for spec in shop.started]


@pytest.mark.parametrize("state", [ReleaseState.ACTIVE, ReleaseState.RETIRED, ReleaseState.FAILED])
def test_a_release_that_was_deployed_before_has_no_hooks(shop: Shop, state: ReleaseState) -> None:
    """A rollback, a restart, a repair and a scaled service run none."""
    store = shop.context.store
    row = store.deployments.open("shop")
    assert row is not None
    store.deployments.finish(row, DeploymentState.FAILED if state is ReleaseState.FAILED else DeploymentState.SUCCEEDED)
    number = 1 if state is ReleaseState.RETIRED else 2
    store.deployments.begin("shop", 1, 2, number)
    found = store.releases.get("shop", number)
    assert found is not None
    assert found.state is state
    assert isinstance(shop.hooks({"BeforeInstall": [{"command": ["a"]}]}, number), NoHooks)


def test_a_cancelled_deployment_begins_no_hook(shop: Shop) -> None:
    """The event is read before each one."""
    shop.context.cancelled.set()
    with pytest.raises(Cancelled):
        shop.run({"command": ["a"]})
    assert shop.started == []


def test_a_pause_waits_for_a_promotion(shop: Shop) -> None:
    """The next hook runs after it, and the user is named."""
    answers = shop.context.store.deployment_answers

    def promote() -> None:
        (wait,) = answers.waiting("shop")
        assert (wait.service, wait.name) == ("web", "BeforeInstall[1]")
        assert [spec.command for spec in shop.started] == [("one",)]
        answers.promote(wait, "ann")

    shop.clock.call_at(20 * MINUTE, promote)
    shop.run({"command": ["one"]}, {"pause": True}, {"command": ["three"]})
    assert [spec.command for spec in shop.started] == [("one",), ("three",)]
    assert shop.messages("deployment.waiting") == [
        "web waits in BeforeInstall up to 1d for `pipeline promote`; then the release is rolled back"
    ]
    assert shop.messages("deployment.continued") == ["the pause in BeforeInstall of web was ended by ann"]
    assert answers.waiting("shop") == []


def test_a_pause_that_nobody_ends_rolls_back(shop: Shop) -> None:
    """After its time-out, and it waits no more then."""
    before = shop.clock.now()
    with pytest.raises(HookFailed) as error:
        shop.run({"pause": True, "timeout": "10m"})
    assert error.value.message == "the pause in BeforeInstall of web was not ended within 10m"
    assert timedelta(0) < shop.clock.since(before) - 10 * MINUTE < timedelta(seconds=1)
    assert shop.context.store.deployment_answers.waiting("shop") == []


def test_a_pause_may_continue_by_itself(shop: Shop) -> None:
    """After its time-out, if its settings say so."""
    shop.run({"pause": True, "timeout": "10m", "on_timeout": "continue"}, {"command": ["next"]})
    assert [spec.command for spec in shop.started] == [("next",)]
    assert shop.messages("deployment.waiting") == [
        "web waits in BeforeInstall up to 10m for `pipeline promote`; then the deployment continues"
    ]
    assert shop.messages("deployment.continued") == ["the pause in BeforeInstall of web is over after 10m"]


def test_a_restart_does_not_extend_a_pause(shop: Shop) -> None:
    """A process that continues the deployment counts from the start of the pause, and finds an answer."""
    answers, row = shop.context.store.deployment_answers, shop.context.store.deployments.open("shop")
    assert row is not None
    answers.begin(row.id, "web", "BeforeInstall[0]", "the pause in BeforeInstall", shop.clock.now(), 10 * MINUTE)
    shop.clock.advance(5 * MINUTE)
    before = shop.clock.now()
    with pytest.raises(HookFailed):
        shop.run({"pause": True, "timeout": "10m"})
    assert shop.clock.since(before) < 5 * MINUTE + timedelta(seconds=1)
    wait = answers.begin(row.id, "web", "BeforeInstall[1]", "the pause in BeforeInstall", shop.clock.now(), MINUTE)
    answers.promote(wait, "ann")
    hooks = shop.hooks({"BeforeInstall": [{"command": ["a"]}, {"pause": True}]})
    hooks.run(LifecycleEvent.BEFORE_INSTALL)
    assert shop.messages("deployment.continued")[-1] == "the pause in BeforeInstall of web was ended by ann"


def test_a_cancellation_ends_a_pause(shop: Shop) -> None:
    """Long before its time-out. The row stays, until the deployment ends."""
    shop.clock.call_at(MINUTE, shop.context.cancelled.set)
    with pytest.raises(Cancelled):
        shop.run({"pause": True})


def test_a_cancellation_ends_a_program(shop: Shop) -> None:
    """It is stopped, and the hook does not return before."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            shop.run(
                {"host_command": [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(999)"]}
            )
        except Cancelled as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: shop.log.lines, "the program is ready")
    shop.context.cancelled.set()
    thread.join(DEADLINE)
    assert len(failures) == 1
