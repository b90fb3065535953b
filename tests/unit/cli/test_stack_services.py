"""Services of stacks in the commands that read: by name, without a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from pipeline.base.errors import ConfigError, EngineFault
from pipeline.cli.program import cli
from pipeline.ecs import tasks
from pipeline.engine.container import Container
from pipeline.stacks.provider import StackContext
from tests.support.ecs_home import OWNER, EcsHome

CONTEXT = StackContext("arn:…:stack/lab/1", "lab", OWNER, "eu-west-1", "000000000000")


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[EcsHome]:
    """A home with the service `web`, whose first deployment has ended. Docker is away."""
    made = EcsHome(CONTEXT)
    monkeypatch.setenv("PENSTOCK_HOME", str(made.home.root))
    provider = made.service()
    for _ in range(2):
        provider.create("token", provider.properties.model_validate(made.properties(ServiceName="web")))

    def away(_: str) -> list[Container]:
        raise EngineFault("Docker is away")

    monkeypatch.setattr(tasks, "containers_of", lambda _: away)
    yield made
    made.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def test_the_services_are_listed(ecs: EcsHome) -> None:
    """With their tasks, if Docker tells."""
    (service,) = ecs.ecs.store.read().services
    (found,) = json.loads(run("stack", "services", "--owner", OWNER, "--json").stdout)
    assert (found["name"], found["pipeline"], found["desired"], found["running"]) == ("web", service.pipeline, 1, None)
    assert found["state"] == "succeeded"
    assert "web:1" in run("stack", "services", "--owner", OWNER).stdout
    assert run("stack", "services", "--json").stdout == "[]\n"


@pytest.mark.parametrize("command", ["history", "releases", "events", "status"])
def test_a_service_is_shown_by_its_name(ecs: EcsHome, command: str) -> None:
    """It needs no pipeline.yaml, and is found by name, ARN and pipeline."""
    (service,) = ecs.ecs.store.read().services
    shown = {run(command, "-p", name).stdout for name in (service.name, service.arn, service.pipeline)}
    assert len(shown) == 1
    if command == "history":
        assert "task definition web:1" in shown.pop()
    if command == "status":
        assert service.pipeline in shown.pop()


def test_a_service_that_is_not_there(ecs: EcsHome) -> None:
    """The names of those that are there help. A name that two have needs the ARN."""
    with pytest.raises(ConfigError, match="this home has no pipeline of this name") as caught:
        run("history", "-p", "wep")
    assert caught.value.hint is not None
    assert "web" in caught.value.hint
    with pytest.raises(ConfigError, match="there is no run 7"):
        run("logs", "7", "-p", "web")
    (service,) = ecs.ecs.store.read().services
    ecs.ecs.store.put_service(replace(service, region="eu-west-2", token="t2"))
    with pytest.raises(ConfigError, match="there are 2 services web"):
        run("history", "-p", "web")


@pytest.mark.usefixtures("ecs")
@pytest.mark.parametrize("command", ["down", "run", "rollback", "restart", "scale 2", "cancel 1", "retry 1"])
def test_a_stack_changes_its_services(command: str) -> None:
    """No command that acts on a pipeline does."""
    with pytest.raises(ConfigError, match="a service that a stack has made"):
        run(*command.split(), "-p", "web")
