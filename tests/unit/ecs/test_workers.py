"""Who works on services: the process of a command, or the daemon. Source and Build are real, Deploy is the test's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.base.clock import SystemClock
from pipeline.base.errors import ConfigError, RolledBack, StageFailed
from pipeline.base.lock import is_held, work_lock
from pipeline.config import stages
from pipeline.daemon.scheduler import Scheduler
from pipeline.daemon.service_supervisor import ServiceSupervisor
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.daemon.supervisors import Supervisors
from pipeline.ecs import task_image
from pipeline.ecs.ecs import Ecs
from pipeline.ecs.records import Service
from pipeline.ecs.task_image import TaskImage
from pipeline.ecs.task_source import TaskSource
from pipeline.engine import hosts
from pipeline.parameter_store.parameter import StoredParameter, Version
from pipeline.parameter_store.store import ParameterStore
from pipeline.stacks.provider import Pending, StackContext, State
from pipeline.stacks.providers.ecs_service import EcsService
from pipeline.store.records import RunState
from pipeline.testing.fakes.engine import FakeEngine
from tests.support.ecs_home import OWNER, EcsHome
from tests.support.fake_stages import FakeDeploy, FakeStages
from tests.support.waiting import until

CONTEXT = StackContext("arn:…:stack/lab/1", "lab", OWNER, "eu-west-1", "000000000000")
TOKEN = "lab-Service-AAAAAAAAAAAA"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine with the image shop:1."""
    made = FakeEngine()
    made.images.add("shop:1")
    monkeypatch.setattr(task_image, "local_engine", lambda _: made)
    monkeypatch.setattr(hosts, "local_engine", lambda _: made)
    return made


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> FakeStages:
    """Deploy as the test wants it."""
    made = FakeStages(lambda _: None)
    found: dict[str, Callable[[], Any]] = {
        "source._ecs": TaskSource,
        "build._ecs": TaskImage,
        "deploy.docker": lambda: FakeDeploy(made),
    }

    def find(*, group: str, name: str) -> Sequence[SimpleNamespace]:
        assert group == stages.GROUP
        return [SimpleNamespace(load=lambda: found[name])]

    monkeypatch.setattr(stages, "entry_points", find)
    return made


@pytest.fixture
def home() -> Iterator[EcsHome]:
    """A home without services."""
    made = EcsHome(CONTEXT)
    yield made
    made.close()


@pytest.fixture
def provider(home: EcsHome, fakes: FakeStages) -> Iterator[EcsService]:
    """The provider of a command without a daemon."""
    ecs = Ecs(home.home)
    yield EcsService(ecs, CONTEXT)
    ecs.close(timedelta(seconds=10))


def finish(call: Callable[[], State | Pending | None]) -> State | None:
    """Repeat a call until it is done."""
    found: list[State | None] = []

    def is_done() -> bool:
        result = call()
        if isinstance(result, Pending):
            return False
        found.append(result)
        return True

    until(is_done, "the end of the change")
    return found[0]


def create(provider: EcsService, home: EcsHome, **more: object) -> Service:
    properties = provider.properties.model_validate(home.properties(**more))
    assert finish(lambda: provider.create(TOKEN, properties)) is not None
    return service(home)


def update(provider: EcsService, home: EcsHome, **more: object) -> None:
    after = provider.properties.model_validate(home.properties(**more))
    finish(lambda: provider.update(service(home).arn, after, after))


def service(home: EcsHome) -> Service:
    (found,) = home.ecs.store.read().services
    return found


def test_a_command_deploys_and_lets_go(provider: EcsService, home: EcsHome, fakes: FakeStages) -> None:
    """The release is the revision of the task definition. Afterwards nobody holds the pipeline's lock."""
    made = create(provider, home)
    active = home.store.releases.active(made.pipeline)
    assert active is not None
    assert (active.subject, active.image_tag) == ("", "shop:1")
    assert fakes.deployed == [1]
    until(lambda: not is_held(home.home.lock(made.pipeline)), "the end of the work")
    finish(lambda: provider.delete(made.arn))
    assert home.store.releases.active(made.pipeline) is None


def test_an_image_is_looked_up_once_for_each_revision(provider: EcsService, home: EcsHome, engine: FakeEngine) -> None:
    """A name that means another image by now changes no service. A new revision uses the new image."""
    made = create(provider, home)
    first = engine.images.id("shop:1")
    active = home.store.releases.active(made.pipeline)
    assert active is not None
    assert active.image_id == first
    engine.images.registry.add("shop:2")
    update(provider, home, TaskDefinition=home.define("shop:2"))
    active = home.store.releases.active(made.pipeline)
    assert active is not None
    assert active.image_id == engine.images.id("shop:2")


def test_an_image_that_nobody_has_fails_the_change(provider: EcsService, home: EcsHome) -> None:
    """The reason is AWS's."""
    with pytest.raises(StageFailed, match="CannotPullContainerError: shop:9"):
        create(provider, home, TaskDefinition=home.define("shop:9"))


def test_a_secret_without_a_value_starts_nothing(
    provider: EcsService, home: EcsHome, fakes: FakeStages, engine: FakeEngine
) -> None:
    """The reason is ECS's, and the image is not pulled. With the parameter, the same change succeeds."""
    engine.images.registry.add("shop:2")
    secrets = [{"Name": "TOKEN", "ValueFrom": "/shop/token"}]
    task = home.define("shop:2", Secrets=secrets)
    reason = r"ResourceInitializationError: .* invalid ssm parameters: /shop/token$"
    with pytest.raises(StageFailed, match=reason):
        create(provider, home, TaskDefinition=task)
    assert fakes.deployed == []
    assert engine.images.id("shop:2") is None
    version = Version(1, "SecureString", "s3cret", SystemClock().now().wall)
    parameter = StoredParameter(OWNER, "eu-west-1", "/shop/token", "api", (version,))
    ParameterStore(home.home.aws).change(OWNER, "/shop/token", lambda _: parameter)
    create(provider, home, TaskDefinition=task)
    assert len(fakes.deployed) == 1


def test_a_change_that_is_replaced_while_it_deploys_is_stopped(
    provider: EcsService, home: EcsHome, fakes: FakeStages
) -> None:
    """The run in Deploy is cancelled, and the newer change is deployed."""
    create(provider, home)
    held = fakes.hold("deploy", 2)
    newer = home.define("shop:1", Command=["other"])
    after = provider.properties.model_validate(home.properties(TaskDefinition=newer))
    provider.update(service(home).arn, after, after)
    held.wait_until_entered()
    update(provider, home, TaskDefinition=home.define("shop:1", Command=["third"]))
    assert [run.state for run in home.runs(service(home))] == [
        RunState.SUCCEEDED,
        RunState.CANCELLED,
        RunState.SUCCEEDED,
    ]


def test_the_reason_of_a_failed_deployment_is_the_service_s(
    provider: EcsService, home: EcsHome, fakes: FakeStages
) -> None:
    """It names the service."""
    create(provider, home)
    fakes.fail("deploy", 2, RolledBack("it was not healthy for 60 s"))
    with pytest.raises(StageFailed, match=r"lab-Service-A+: it was not healthy for 60 s"):
        update(provider, home, TaskDefinition=home.define("shop:1", Command=["other"]))


def test_a_run_of_a_process_that_died_is_undone_and_started_again(
    provider: EcsService, home: EcsHome, fakes: FakeStages
) -> None:
    """The deployment that it left open is closed first. The change is then completed by the same run."""
    made = create(provider, home)
    newer = home.define("shop:1", Command=["other"])
    after = provider.properties.model_validate(home.properties(TaskDefinition=newer))
    home.is_working = False
    EcsService(home.ecs, CONTEXT).update(made.arn, after, after)
    run = home.store.queue.claim(made.pipeline, "queued")
    assert run is not None
    home.store.queue.enter(made.pipeline, run.number, "source")
    home.store.deployments.begin(made.pipeline, run.number, 1, None)
    finish(lambda: provider.update(made.arn, after, after))
    assert fakes.recovered == [2]
    assert [each.state for each in home.runs(made)] == [RunState.SUCCEEDED] * 2


def test_a_service_that_another_process_works_on_is_left_to_it(provider: EcsService, home: EcsHome) -> None:
    """The change goes on as soon as the lock is free."""
    properties = provider.properties.model_validate(home.properties())
    provider.create(TOKEN, properties)
    finish(lambda: provider.create(TOKEN, properties))
    made = service(home)
    until(lambda: not is_held(home.home.lock(made.pipeline)), "the end of the work")
    after = provider.properties.model_validate(home.properties(DesiredCount=3))
    with work_lock(home.home.lock(made.pipeline), "another process"):
        for _ in range(3):
            assert isinstance(provider.update(made.arn, after, after), Pending)
    finish(lambda: provider.update(made.arn, after, after))


def test_closing_lets_a_deployment_end_and_starts_no_other(home: EcsHome, fakes: FakeStages) -> None:
    """The next process continues what is left."""
    ecs = Ecs(home.home)
    provider = EcsService(ecs, CONTEXT)
    held = fakes.hold("deploy", 1)
    properties = provider.properties.model_validate(home.properties())
    provider.create(TOKEN, properties)
    held.wait_until_entered()
    closing = threading.Thread(target=ecs.close, args=(timedelta(seconds=20),))
    closing.start()
    held.release()
    closing.join()
    assert [run.state for run in home.runs(service(home))] == [RunState.SUCCEEDED]


def test_stages_of_services_are_not_for_pipelines(home: EcsHome) -> None:
    """A pipeline.yaml that uses them gets an error, not an internal one."""
    configuration = SimpleNamespace(
        pipeline=SimpleNamespace(name="shop", source=SimpleNamespace(options={}), build=SimpleNamespace(options={}))
    )
    context: Any = SimpleNamespace(configuration=configuration, home=home.home)
    with pytest.raises(ConfigError, match="shop is no ECS service"):
        TaskSource().find(context, SimpleNamespace(force=False))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"build\._ecs is the build of services"):
        TaskImage().plan(context, SimpleNamespace())  # type: ignore[arg-type]


@pytest.fixture
def supervised(home: EcsHome, fakes: FakeStages) -> Iterator[ServiceSupervisor]:
    """What the daemon has of services."""
    clock = SystemClock()
    supervisors = Supervisors({})
    with Scheduler(clock) as scheduler:
        made = ServiceSupervisor(
            home.home, home.store, supervisors, lambda served: PipelineSupervisor(served, clock, scheduler), (), clock
        )
        yield made
        made.close()
        for supervisor in supervisors.values():
            supervisor.stop(10)


def test_the_daemon_deploys_and_supervises_a_service_until_it_is_deleted(
    home: EcsHome, supervised: ServiceSupervisor, fakes: FakeStages
) -> None:
    """It is a pipeline with a repair loop and without triggers. Its lock is free after the deletion."""
    provider = EcsService(Ecs(home.home, supervised), CONTEXT)
    made = create(provider, home)
    update(provider, home, TaskDefinition=home.define("shop:1", Command=["other"]))
    assert fakes.deployed == [1, 2]
    assert is_held(home.home.lock(made.pipeline))
    fakes.findings = ["1 of 2 containers are missing"]
    until(lambda: fakes.repaired, "a repair")
    finish(lambda: provider.delete(made.arn))
    until(lambda: not is_held(home.home.lock(made.pipeline)), "the end of its supervisor")


def test_a_daemon_takes_over_the_services_that_it_finds(
    home: EcsHome, provider: EcsService, supervised: ServiceSupervisor, fakes: FakeStages
) -> None:
    """It continues what a command has left, and lets go of what another process has removed."""
    supervised.step()
    held = fakes.hold("deploy", 1)
    provider.create(TOKEN, provider.properties.model_validate(home.properties()))
    held.wait_until_entered()
    made = service(home)
    supervised.step()
    held.release()
    until(lambda: [run.state for run in home.runs(made)] == [RunState.SUCCEEDED], "the end of the run")
    until(lambda: is_held(home.home.lock(made.pipeline)), "the daemon takes over")
    home.ecs.store.drop(OWNER, made.arn)
    supervised.step()
    until(lambda: not is_held(home.home.lock(made.pipeline)), "the daemon lets go")


def test_the_daemon_stops_a_run_that_a_newer_change_replaces(
    home: EcsHome, supervised: ServiceSupervisor, fakes: FakeStages
) -> None:
    """A queued run and one in Deploy are both cancelled."""
    provider = EcsService(Ecs(home.home, supervised), CONTEXT)
    create(provider, home)
    held = fakes.hold("deploy", 2)
    after = provider.properties.model_validate(home.properties(TaskDefinition=home.define("shop:1", Command=["b"])))
    provider.update(service(home).arn, after, after)
    held.wait_until_entered()
    update(provider, home, TaskDefinition=home.define("shop:1", Command=["c"]))
    assert [run.state for run in home.runs(service(home))][1:] == [RunState.CANCELLED, RunState.SUCCEEDED]
