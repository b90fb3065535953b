"""Task definitions: what their container comes to in a pipeline, what has no meaning, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from pipeline.base.errors import ConfigError
from pipeline.ecs.records import TaskDefinition
from pipeline.ecs.store import EcsStore
from pipeline.stacks.provider import StackContext, State
from pipeline.stacks.providers.ecs_task_definition import EcsTaskDefinition
from tests.support.ecs_home import CONTAINER, OWNER, EcsHome

CONTEXT = StackContext("arn:…:stack/lab/1", "lab", OWNER, "eu-west-1", "000000000000")


@pytest.fixture
def ecs() -> Iterator[EcsHome]:
    """A home with one revision, web:1."""
    made = EcsHome(CONTEXT)
    yield made
    made.close()


def define(ecs: EcsHome, token: str = "token", **properties: object) -> State:
    provider = EcsTaskDefinition(ecs.ecs, CONTEXT)
    wanted = {"Family": "web", "ContainerDefinitions": [CONTAINER], **properties}
    state = provider.create(token, provider.properties.model_validate(wanted))
    assert isinstance(state, State)
    return state


def with_container(**more: object) -> dict[str, object]:
    """Return the properties with one container."""
    return {"ContainerDefinitions": [{**CONTAINER, **more}]}


def task(ecs: EcsHome, state: State) -> TaskDefinition:
    found = ecs.ecs.store.task_definition(OWNER, state.physical_id)
    assert found is not None
    return found


def test_each_revision_has_the_next_number_of_its_family(ecs: EcsHome) -> None:
    """A number is not given again after its revision became inactive. A family's name is its latest active one."""
    provider = EcsTaskDefinition(ecs.ecs, CONTEXT)
    second = define(ecs, "two")
    assert second.physical_id == "arn:aws:ecs:eu-west-1:000000000000:task-definition/web:2"
    assert define(ecs, "two").physical_id == second.physical_id
    provider.delete(second.physical_id)
    latest = ecs.ecs.store.task_definition(OWNER, "web", "eu-west-1")
    assert latest is not None
    assert latest.label == "web:1"
    third = define(ecs, "three").physical_id
    assert third.endswith("web:3")
    provider.delete(third)
    assert [t.label for t in ecs.ecs.store.read().task_definitions] == ["web:1", "web:3"]


def test_a_container_becomes_the_section_deploy(ecs: EcsHome) -> None:
    """Sizes of the task are those of its only container. A limit of all cores is none."""
    state = define(
        ecs,
        Cpu="256",
        Memory="1 GB",
        Volumes=[{"Name": "data"}, {"Name": "etc", "Host": {"SourcePath": "/etc/shop"}}],
        ContainerDefinitions=[
            {
                **CONTAINER,
                "Command": ["serve"],
                "EntryPoint": ["/bin/tini", "--"],
                "Environment": [{"Name": "A", "Value": "1"}, {"Name": "B", "Value": 2}],
                "MountPoints": [
                    {"SourceVolume": "data", "ContainerPath": "/data"},
                    {"SourceVolume": "etc", "ContainerPath": "/etc/shop", "ReadOnly": True},
                ],
                "LinuxParameters": {"InitProcessEnabled": True, "SharedMemorySize": 128},
                "StopTimeout": 7,
            }
        ],
    )
    assert task(ecs, state).settings == {
        "command": ["serve"],
        "entrypoint": ["/bin/tini", "--"],
        "environment": {"A": "1", "B": "2"},
        "memory": "1024MiB",
        **({"cpus": 0.25} if (os.cpu_count() or 1) > 0.25 else {}),
        "volumes": ["data:/data", "/etc/shop:/etc/shop:ro"],
        "init": True,
        "shm_size": "128MiB",
        "stop_grace": "7s",
    }


def test_every_option_of_a_container(ecs: EcsHome) -> None:
    """Each has its key in `deploy`. Labels keep their names."""
    container = {
        **CONTAINER,
        "User": 1000,
        "WorkingDirectory": "/srv",
        "ReadonlyRootFilesystem": True,
        "Ulimits": [{"Name": "nofile", "SoftLimit": 1024, "HardLimit": "4096"}],
        "DockerLabels": {"com.Example.team": "web"},
        "ExtraHosts": [{"Hostname": "db", "IpAddress": "10.0.0.5"}],
        "LinuxParameters": {
            "Tmpfs": [
                {"ContainerPath": "/run", "Size": 64},
                {"ContainerPath": "/tmp/a", "Size": 1, "MountOptions": ["defaults", "noexec", "mode=1777"]},
            ]
        },
        "HealthCheck": {"Command": ["CMD-SHELL", "test -e /run/up"], "Retries": 2, "StartPeriod": 20},
        "Secrets": [{"Name": "PASSWORD", "ValueFrom": "/shop/password"}],
    }
    found = task(ecs, define(ecs, ContainerDefinitions=[container]))
    assert found.settings == {
        "environment": {},
        "volumes": [],
        "init": False,
        "stop_grace": "30s",
        "user": "1000",
        "working_dir": "/srv",
        "read_only": True,
        "ulimits": {"nofile": {"soft": 1024, "hard": 4096}},
        "labels": {"com.Example.team": "web"},
        "extra_hosts": ["db=10.0.0.5"],
        "tmpfs": ["/run:size=64m", "/tmp/a:size=1m,noexec,mode=1777"],  # a path in a container
        "health_check": {
            "command": ["/bin/sh", "-c", "test -e /run/up"],
            "interval": "30s",
            "timeout": "5s",
            "unhealthy_threshold": 2,
            "start_period": "20s",
        },
    }
    assert (found.secrets, found.start_period) == ({"PASSWORD": "/shop/password"}, 20)
    stored = EcsStore(ecs.home.aws).task_definition(OWNER, found.arn)
    assert stored == found


def test_a_memory_limit_of_the_container_comes_before_the_task_s(ecs: EcsHome) -> None:
    """It is the smaller one in AWS too. More cores than the machine has are no limit."""
    state = define(ecs, Cpu="16384 ", Memory="1024", ContainerDefinitions=[{**CONTAINER, "Memory": "256"}])
    assert task(ecs, state).settings["memory"] == "256MiB"
    many = define(ecs, "many", Cpu=f"{(os.cpu_count() or 1) + 1} vCPU")
    assert "cpus" not in task(ecs, many).settings


def test_what_has_no_meaning_is_said(ecs: EcsHome) -> None:
    """The reason of the event names it."""
    container = {**CONTAINER, "LogConfiguration": {"LogDriver": "awslogs"}, "MemoryReservation": 64}
    reason = define(ecs, ContainerDefinitions=[container], TaskRoleArn="arn:role").reason
    for part in ("LogConfiguration has no effect", "MemoryReservation reserves nothing", "roles grant nothing"):
        assert part in reason


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"ContainerDefinitions": [CONTAINER, CONTAINER]}, "a task has exactly one container here, got 2"),
        (
            with_container(Secrets=[{"Name": "A", "ValueFrom": "arn:aws:secretsmanager:eu-west-1:1:secret:a"}]),
            "container app: Secrets: arn:aws:secretsmanager:eu-west-1:1:secret:a is no parameter of SSM, and this "
            "machine has no other store of secrets",
        ),
        (
            with_container(
                Environment=[{"Name": "A", "Value": "1"}], Secrets=[{"Name": "A", "ValueFrom": "/shop/password"}]
            ),
            "The secret name must be unique and not shared with any new or existing environment variables set on the "
            "container, such as 'A'.",
        ),
        (
            with_container(Ulimits=[{"Name": "nofiles", "SoftLimit": 1, "HardLimit": 1}]),
            "container app: 'nofiles' is not a limit of Docker; write nofile",
        ),
        (
            with_container(Ulimits=[{"Name": "nofile", "SoftLimit": 2, "HardLimit": 1}]),
            "container app: must be at most hard, which is 1, got 2",
        ),
        (with_container(WorkingDirectory="srv"), "container app: must be an absolute path in the container"),
        (with_container(DockerLabels={"penstock.home": "a"}), "container app: penstock.home must have another name"),
        (
            with_container(ExtraHosts=[{"Hostname": "db", "IpAddress": "here"}]),
            "container app: 'db=here' must have an IP address or host-gateway, got 'here'",
        ),
        (
            with_container(LinuxParameters={"Tmpfs": [{"ContainerPath": "/run", "Size": 1, "MountOptions": ["bind"]}]}),
            "container app: '/run:size=1m,bind' has the unknown option 'bind'",
        ),
        (
            with_container(HealthCheck={"Command": ["curl", "localhost"]}),
            "container app: HealthCheck: the command must begin with CMD or CMD-SHELL, got ['curl', 'localhost']",
        ),
        (
            with_container(SystemControls=[{"Namespace": "net.core.somaxconn", "Value": "1024"}]),
            "container app: SystemControls are not supported: a container of a service may not change settings of the "
            "kernel",
        ),
        (
            {"ContainerDefinitions": [{**CONTAINER, "DependsOn": [{"ContainerName": "b"}]}]},
            "container app: DependsOn needs a second container",
        ),
        (
            {"ContainerDefinitions": [{**CONTAINER, "MountPoints": [{"SourceVolume": "a", "ContainerPath": "/a"}]}]},
            "MountPoints: there is no volume a in Volumes",
        ),
        ({"Cpu": "much"}, "Invalid 'cpu' setting for task: 'much'"),
        ({"Memory": "much"}, "Invalid 'memory' setting for task: 'much'"),
    ],
)
def test_what_cannot_be_kept_is_refused(ecs: EcsHome, properties: dict[str, object], message: str) -> None:
    """Nothing is kept of it."""
    before = ecs.ecs.store.read()
    with pytest.raises(ConfigError) as caught:
        define(ecs, **properties)
    assert message in caught.value.message
    assert ecs.ecs.store.read() == before


def test_an_unknown_property_is_refused() -> None:
    """Silently ignored, a container would run otherwise than it was declared."""
    with pytest.raises(ValidationError):
        EcsTaskDefinition.properties.model_validate({"ContainerDefinitions": [{**CONTAINER, "Privileged": True}]})
