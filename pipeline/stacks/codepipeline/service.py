"""The section `deploy`, from a service of ECS and its task definition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipeline.stacks.codepipeline.notes import Notes
from pipeline.stacks.codepipeline.resources import Resource, Resources, members, objects, text_of, texts
from pipeline.stacks.codepipeline.shape import Shape
from pipeline.stacks.template import JSON

SERVICE = "AWS::ECS::Service"
TASK = "AWS::ECS::TaskDefinition"
_DEFAULT_PORT = 8080
_DEPLOY_TIMEOUT = 60
# Keys of a container that are carried over, or that mean nothing here.
_KNOWN = frozenset(
    {
        "Command",
        "Cpu",
        "EntryPoint",
        "Environment",
        "Essential",
        "Image",
        "Memory",
        "MemoryReservation",
        "Name",
        "PortMappings",
        "Secrets",
        "StopTimeout",
    }
)


@dataclass(frozen=True)
class Service:
    """What is deployed. `target_group` is a reference to the target group, or None. `port` is the application's."""

    deploy: dict[str, Any]
    target_group: JSON
    port: int


def service_section(shape: Shape, resources: Resources, notes: Notes) -> Service:
    """Return the section `deploy` without its target group."""
    service = _service(shape, resources, notes)
    deploy: dict[str, Any] = {}
    if shape.approval is not None:
        deploy["approval"] = {}
    if shape.deploy.provider == "CodeDeployToECS":
        notes.add("the deployment is rolled, instead of blue/green by CodeDeploy")
    if service is None:
        notes.add(f"the service is in no given template: one container with port {_DEFAULT_PORT} is assumed")
        return Service(deploy, None, _DEFAULT_PORT)
    attached = objects(service.properties.get("LoadBalancers"))[:1]
    balanced = attached[0] if attached else {}
    task = resources.referred(service.properties.get("TaskDefinition"), TASK, "Family")
    container = _container(task, text_of(balanced.get("ContainerName")), notes)
    deploy |= _size(service, notes) | _container_keys(task, container, notes)
    grace = _whole(service.properties.get("HealthCheckGracePeriodSeconds")) or 0
    if grace > _DEPLOY_TIMEOUT:
        deploy["deploy_timeout"] = f"{grace}s"
    ports = [_whole(mapping.get("ContainerPort")) for mapping in objects(container.get("PortMappings"))]
    port = _whole(balanced.get("ContainerPort")) or next(filter(None, ports), None)
    if port is None:
        notes.add(f"the container's port is not known: {_DEFAULT_PORT} is assumed")
    return Service(deploy, balanced.get("TargetGroupArn"), port or _DEFAULT_PORT)


def _service(shape: Shape, resources: Resources, notes: Notes) -> Resource | None:
    """Return the service of the deploy action. If it only has a name, the only service there is."""
    found = resources.referred(shape.deploy.configuration.get("ServiceName"), SERVICE, "ServiceName")
    services = resources.of_type(SERVICE)
    if found is None and len(services) == 1:
        notes.add(f"the service {services[0].name} is assumed to be the one that is deployed")
        return services[0]
    return found


def _container(task: Resource | None, name: str, notes: Notes) -> dict[str, JSON]:
    """Return the container that gets the requests, or else the first one."""
    if task is None:
        notes.add("the task definition is in no given template")
        return {}
    containers = objects(task.properties.get("ContainerDefinitions"))
    chosen = next((one for one in containers if text_of(one.get("Name")) == name), None)
    chosen = chosen or next(iter(containers), {})
    for other in containers:
        if other is not chosen:
            notes.add(f"the container {text_of(other.get('Name'))} is left out: a pipeline deploys one")
    return chosen


def _size(service: Resource, notes: Notes) -> dict[str, Any]:
    """Return `replicas` and `rolling`."""
    replicas = _whole(service.properties.get("DesiredCount"))
    found: dict[str, Any] = {"replicas": replicas or 1}
    if replicas == 0:
        notes.add("DesiredCount is 0: one container is assumed")
    given = members(service.properties.get("DeploymentConfiguration"))
    most, least = _whole(given.get("MaximumPercent")), _whole(given.get("MinimumHealthyPercent"))
    if most is not None or least is not None:
        surge, unavailable = (
            max((most if most is not None else 200) - 100, 0),
            100 - min(least if least is not None else 100, 100),
        )
        if surge or unavailable:
            found["rolling"] = {"max_surge": f"{surge}%", "max_unavailable": f"{unavailable}%"}
        else:
            notes.add("DeploymentConfiguration allows no progress: one container more is started during a rollout")
    if members(given.get("DeploymentCircuitBreaker")).get("Enable") is True:
        found["circuit_breaker"] = True
    return found


def _container_keys(task: Resource | None, container: dict[str, JSON], notes: Notes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if command := texts(container.get("Command")):
        found["command"] = [_escaped(word) for word in command]
    if entrypoint := texts(container.get("EntryPoint")):
        found["entrypoint"] = [_escaped(word) for word in entrypoint]
    if environment := _environment(container, notes):
        found["environment"] = environment
    alone = task is not None and len(objects(task.properties.get("ContainerDefinitions"))) == 1
    whole = task.properties if task is not None and alone else {}
    if (memory := _memory(container.get("Memory"), whole.get("Memory"))) is not None:
        found["memory"] = f"{memory}MiB"
    if (cpus := _cpus(container.get("Cpu"), whole.get("Cpu"))) is not None:
        found["cpus"] = cpus
    if (grace := _whole(container.get("StopTimeout"))) is not None:
        found["stop_grace"] = f"{grace}s"
    for key in container:
        if key not in _KNOWN:
            notes.add(f"the key {key} of the container {text_of(container.get('Name'))} is left out")
    if task is not None and task.properties.get("Volumes"):
        notes.add("Volumes of the task definition are left out: see deploy.volumes")
    return found


def _environment(container: dict[str, JSON], notes: Notes) -> dict[str, str]:
    found = {
        text_of(pair.get("Name")): _escaped(text_of(pair.get("Value")))
        for pair in objects(container.get("Environment"))
    }
    for pair in objects(container.get("Secrets")):
        name = text_of(pair.get("Name"))
        found[name] = f"${{secret:{name}}}"
        notes.add(f"the secret {name} comes from the environment or from secrets.file")
    return found


def _escaped(text: str) -> str:
    """Return a text for pipeline.yaml, in which `${` begins a reference."""
    return text.replace("${", "$${")


def _whole(value: JSON) -> int | None:
    text = text_of(value)
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def _memory(*values: JSON) -> int | None:
    """Return the first value that is a size, in MiB: `512`, `1GB` or `0.5 GB`."""
    for value in values:
        if match := re.fullmatch(r"([0-9]*\.?[0-9]+) *(GB)?", text_of(value), re.IGNORECASE):
            size = float(match[1]) * (1024 if match[2] else 1)
            if size >= 1:
                return int(size)
    return None


def _cpus(*values: JSON) -> float | None:
    """Return the first value that is a number of cores: `256` of 1024, or `.25 vCPU`."""
    for value in values:
        if match := re.fullmatch(r"([0-9]*\.?[0-9]+) *(vCPU)?", text_of(value), re.IGNORECASE):
            cores = float(match[1]) / (1 if match[2] else 1024)
            if cores > 0:
                return cores
    return None
