"""ECS services of stacks: real containers behind a listener, rolled under load, recovered and kept alive."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.engine.container import ContainerHealth
from tests.docker.docker_cli import docker
from tests.docker.ecs_stack import OWNER, EcsStack
from tests.docker.get import get
from tests.docker.project import Project, until
from tests.docker.serving import serving
from tests.support.aws import client
from tests.support.ports import free_port
from tests.support.waiting import COMMAND_TIMEOUT

pytestmark = pytest.mark.docker


@pytest.fixture
def stack(project: Project) -> Iterator[EcsStack]:
    """A home with a target group and a listener, and no stack yet."""
    made = EcsStack(project)
    yield made
    made.remove()


def version(project: Project) -> str:
    return get(project).partition(" on ")[0]


def test_a_service_is_rolled_under_load_and_deleted(stack: EcsStack) -> None:
    """Creation, a new image, a new environment and a new count lose no request. Deletion leaves nothing."""
    project, images = stack.project, [stack.build("1"), stack.build("2")]
    project.pipeline(*stack.arguments("create", Image=images[0]))
    assert stack.is_settled(2)
    assert version(project) == "sample-app 1"
    before = {container.name for container in stack.containers()}
    with project.load() as load:
        project.pipeline(*stack.arguments("update", Image=images[1]))
        assert version(project) == "sample-app 2"
        assert before.isdisjoint(container.name for container in stack.containers())
        project.pipeline(*stack.arguments("update", Image=images[1], Greeting="good day"))
        assert stack.environments("GREETING") == {"good day"}
        before = {container.name for container in stack.containers()}
        project.pipeline(*stack.arguments("update", Image=images[1], Greeting="good day", Count="3"))
        assert before < {container.name for container in stack.containers()}
        assert load.stop().failed == 0
    assert stack.is_settled(3)
    pipeline = stack.service.pipeline
    project.pipeline("stack", "delete", "shop")
    assert (stack.services, stack.targets()) == ((), ())
    assert docker("ps", "--all", "--quiet", "--filter", f"label=penstock.pipeline={pipeline}") == ""
    assert pipeline not in docker("network", "ls", "--format", "{{.Name}}")


@pytest.mark.long
def test_an_image_that_does_not_become_healthy_is_rolled_back(stack: EcsStack) -> None:
    """The update fails with the reason, and the tasks of before have served all the time."""
    project, good, broken = stack.project, stack.build("1"), stack.build("broken")
    project.pipeline(*stack.arguments("create", Image=good))
    before = {container.name for container in stack.containers()}
    with project.load() as load:
        failed = project.pipeline(*stack.arguments("update", Image=broken), code=4)
        assert load.stop().failed == 0
    assert "was not healthy for 60 s" in failed.out + failed.err
    assert stack.is_settled(2)
    assert before == {container.name for container in stack.containers()}


def test_an_update_that_is_killed_is_completed_by_the_next_process(stack: EcsStack) -> None:
    """The daemon recovers the deployment that was cut short and completes the update. No request is lost."""
    project, images = stack.project, [stack.build("1"), stack.build("2")]
    project.pipeline(*stack.arguments("create", Image=images[0]))
    before = {container.name for container in stack.containers()}
    with project.load() as load:
        process = project.start(*stack.arguments("update", Image=images[1]))
        until(lambda: {c.name for c in stack.containers()} - before, "a new container")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=COMMAND_TIMEOUT)
        with serving(project):
            until(lambda: version(project) == "sample-app 2" and stack.is_settled(2), "the end of the update")
            assert before.isdisjoint(container.name for container in stack.containers())
            assert load.stop().failed == 0


@pytest.mark.long
def test_a_service_behind_no_load_balancer_is_rolled_too(stack: EcsStack) -> None:
    """A task counts once it has run for some seconds. One that ends at once fails its release."""
    project, images = stack.project, [stack.build("1"), stack.build("2")]
    lines = stack.template.read_text().splitlines(keepends=True)
    stack.template.write_text("".join(line for line in lines if "LoadBalancers" not in line))
    project.pipeline(*stack.arguments("create", Image=images[0]))
    before = {container.name for container in stack.containers()}
    assert len(before) == 2
    project.pipeline(*stack.arguments("update", Image=images[1]))
    after = {container.name for container in stack.containers()}
    assert len(after) == 2
    assert before.isdisjoint(after)
    failed = project.pipeline(*stack.arguments("update", Image=images[1], Command="/bin/false"), code=4)
    assert "its container exited with code 1" in failed.out + failed.err
    assert after == {container.name for container in stack.containers()}
    project.pipeline("stack", "delete", "shop")
    assert stack.services == ()


OPTIONS = """\
          User: '65534:1234'
          WorkingDirectory: /app
          ReadonlyRootFilesystem: true
          LinuxParameters: {InitProcessEnabled: true, SharedMemorySize: 96, Tmpfs: [{ContainerPath: /run/app, Size: 1}]}
          Ulimits: [{Name: nofile, SoftLimit: 512, HardLimit: 1024}]
          ExtraHosts: [{Hostname: db, IpAddress: 10.9.8.7}]
          DockerLabels: {com.Example.team: shop}
          HealthCheck: {Command: [CMD-SHELL, 'test -e /run/app/ready || touch /run/app/ready'], Interval: 5}
          Secrets: [{Name: TOKEN, ValueFrom: /shop/token}]
"""


def test_a_task_has_every_option_of_its_definition(stack: EcsStack) -> None:
    """A missing secret starts nothing, with ECS's reason. Without a load balancer, the container's check counts."""
    project, image = stack.project, stack.build("1")
    lines = stack.template.read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if "LoadBalancers" not in line)
    stack.template.write_text(text.replace("          StopTimeout", f"{OPTIONS}          StopTimeout"))
    failed = project.pipeline(*stack.arguments("create", Image=image, Count="1"), code=4)
    assert "invalid ssm parameters: /shop/token" in failed.out + failed.err
    project.pipeline("stack", "delete", "shop")
    project.pipeline("aws", "parameters", "put", "/shop/token", "s3cret-value", "--type", "SecureString")
    project.pipeline(*stack.arguments("create", Image=image, Count="1"))
    (container,) = stack.containers()
    assert container.health is ContainerHealth.HEALTHY
    assert stack.environments("TOKEN") == {"s3cret-value"}
    found = json.loads(docker("inspect", container.id))[0]
    config, host = found["Config"], found["HostConfig"]
    assert (config["User"], config["WorkingDir"]) == ("65534:1234", "/app")
    assert (host["ReadonlyRootfs"], host["Init"], host["ShmSize"]) == (True, True, 96 * 2**20)
    assert host["Tmpfs"] == {"/run/app": "size=1m"}
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 512, "Hard": 1024}]
    assert host["ExtraHosts"] == ["db:10.9.8.7"]
    assert config["Labels"]["com.Example.team"] == "shop"
    assert config["Healthcheck"]["Test"][:3] == ["CMD", "/bin/sh", "-c"]
    assert b"s3cret-value" not in project.home.database.read_bytes()
    project.pipeline("stack", "delete", "shop")
    assert stack.services == ()


def test_the_daemon_keeps_the_tasks_alive(stack: EcsStack) -> None:
    """A container that is removed is replaced. A stack that is deleted by the daemon leaves nothing."""
    project, image = stack.project, stack.build("1")
    project.pipeline(*stack.arguments("create", Image=image))
    with serving(project):
        victim = stack.containers()[0].name
        docker("rm", "--force", victim)
        until(lambda: stack.is_settled(2) and victim not in {c.name for c in stack.containers()}, "its replacement")
        project.pipeline("stack", "delete", "shop")
    assert stack.services == ()


def test_clients_of_ecs_deploy_and_scale(stack: EcsStack) -> None:
    """A forced deployment replaces all tasks under load. A count of 0 leaves none, and the waiter follows each."""
    project, address = stack.project, f"127.0.0.1:{free_port()}"
    project.pipeline(*stack.arguments("create", Image=stack.build("1")))
    before = {container.name for container in stack.containers()}
    key = json.loads(project.pipeline("aws", "keys", "create", "--owner", OWNER, "--json").out)
    service = {"cluster": stack.service.cluster, "service": stack.service.name}
    with serving(project, "--aws", address):
        ecs = client("ecs", f"http://{address}", key, stack.service.region)
        with project.load() as load:
            ecs.update_service(**service, forceNewDeployment=True)
            await_stable(ecs, **service)
            assert load.stop().failed == 0
        after = {container.name for container in stack.containers()}
        assert before.isdisjoint(after)
        assert stack.is_settled(2)
        tasks = ecs.list_tasks(cluster=service["cluster"], serviceName=service["service"])["taskArns"]
        assert len(tasks) == 2
        ecs.update_service(**service, desiredCount=0)
        await_stable(ecs, **service)
        assert stack.containers() == []
        ecs.update_service(**service, desiredCount=1)
        await_stable(ecs, **service)
        assert stack.is_settled(1)


def await_stable(ecs: Any, cluster: str, service: str) -> None:
    """Use the waiter of botocore, with a short delay."""
    waiter = ecs.get_waiter("services_stable")
    waiter.wait(cluster=cluster, services=[service], WaiterConfig={"Delay": 0.2, "MaxAttempts": 300})
