"""The container of a task definition, and the keys of `deploy` in pipeline.yaml that it comes to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, ValidationError

from pipeline.base.errors import ConfigError
from pipeline.config.container_settings import ContainerSettings
from pipeline.stacks.provider import Properties
from pipeline.stacks.providers.ecs_container_parts import (
    ExtraHost,
    HealthCheck,
    LinuxParameters,
    Secret,
    SystemControl,
    Ulimit,
    check_secret,
)

# CPU units of one core.
_UNITS = 1024
_VCPU = re.compile(r"([0-9.]+)\s*vCPU", re.IGNORECASE)
_GB = re.compile(r"([0-9.]+)\s*GB", re.IGNORECASE)
_MIB = 1024


class KeyValuePair(Properties):
    """A variable of the environment."""

    name: str
    value: str = ""


class PortMapping(Properties):
    """A port that the container listens on. The port of the host is chosen by the target group's type."""

    container_port: int = Field(ge=1, le=65535)
    host_port: int | None = None
    protocol: Literal["tcp", "udp"] = "tcp"
    name: str | None = None
    app_protocol: str | None = None


class MountPoint(Properties):
    """A volume of the task definition in the container."""

    source_volume: str
    container_path: str
    read_only: bool = False


class ContainerDefinition(Properties):
    """A container. Properties that are not here are refused."""

    name: str
    image: str
    essential: bool = True
    port_mappings: list[PortMapping] = Field(default_factory=list)
    environment: list[KeyValuePair] = Field(default_factory=list)
    command: list[str] | None = None
    entry_point: list[str] | None = None
    cpu: int = 0
    memory: int | None = None
    memory_reservation: int | None = None
    mount_points: list[MountPoint] = Field(default_factory=list)
    linux_parameters: LinuxParameters | None = None
    stop_timeout: int | None = Field(None, ge=0, le=120)
    log_configuration: dict[str, Any] | None = None
    health_check: HealthCheck | None = None
    docker_labels: dict[str, str] | None = None
    user: str | None = None
    working_directory: str | None = None
    readonly_root_filesystem: bool = False
    start_timeout: int | None = None
    ulimits: list[Ulimit] = Field(default_factory=list)
    extra_hosts: list[ExtraHost] = Field(default_factory=list)
    secrets: list[Secret] = Field(default_factory=list)
    depends_on: list[dict[str, Any]] = Field(default_factory=list)
    system_controls: list[SystemControl] = Field(default_factory=list)
    # Only what tools write where nothing is wanted.
    privileged: Literal[False] = False
    volumes_from: list[Any] = Field(default_factory=list, max_length=0)
    environment_files: list[Any] = Field(default_factory=list, max_length=0)


class HostVolume(Properties):
    """A folder of the machine."""

    source_path: str | None = None


class Volume(Properties):
    """A volume of the task definition: a folder of the machine, or a volume of Docker."""

    name: str
    host: HostVolume | None = None
    docker_volume_configuration: dict[str, Any] | None = None


def check_container(container: ContainerDefinition) -> None:
    """Raise `ConfigError` for what cannot be kept."""
    if container.system_controls:
        raise ConfigError(
            f"container {container.name}: SystemControls are not supported: a container of a service may not change "
            "settings of the kernel",
            hint="set them on the machine",
        )
    if container.depends_on:
        raise ConfigError(f"container {container.name}: DependsOn needs a second container, and a task has one")
    names = [pair.name for pair in container.environment]
    for secret in container.secrets:
        check_secret(container.name, secret)
        if secret.name in names:
            raise ConfigError(
                f"The secret name must be unique and not shared with any new or existing environment variables set on "
                f"the container, such as '{secret.name}'."
            )
        names.append(secret.name)


def settings_of(
    container: ContainerDefinition, volumes: list[Volume], task_cpu: str | None, task_memory: str | None
) -> dict[str, Any]:
    """Return the keys of `deploy`. Limits of the task are those of its only container. Raises `ConfigError`."""
    linux = container.linux_parameters or LinuxParameters()
    memory = container.memory or (_mib(task_memory) if task_memory else None)
    found = {
        "command": container.command or None,
        "entrypoint": container.entry_point or None,
        "environment": {pair.name: pair.value for pair in container.environment},
        "memory": f"{memory}MiB" if memory else None,
        "cpus": _cores(task_cpu) if task_cpu else None,
        "volumes": [_mounted(point, volumes) for point in container.mount_points],
        "init": linux.init_process_enabled,
        "shm_size": f"{linux.shared_memory_size}MiB" if linux.shared_memory_size else None,
        "stop_grace": f"{container.stop_timeout if container.stop_timeout is not None else 30}s",
    }
    settings = {key: value for key, value in found.items() if value is not None} | dict(_options(container))
    _check_settings(container.name, settings)
    return settings


def _options(container: ContainerDefinition) -> Iterator[tuple[str, Any]]:
    """Yield the keys of `deploy` for what a container sets beyond the usual."""
    tmpfs = container.linux_parameters.tmpfs if container.linux_parameters else []
    found = {
        "user": container.user,
        "working_dir": container.working_directory,
        "read_only": container.readonly_root_filesystem,
        "labels": container.docker_labels,
        "ulimits": {limit.name: {"soft": limit.soft_limit, "hard": limit.hard_limit} for limit in container.ulimits},
        "extra_hosts": [f"{host.hostname}={host.ip_address}" for host in container.extra_hosts],
        "tmpfs": [each.mount for each in tmpfs],
        "health_check": container.health_check.settings(container.name) if container.health_check else None,
    }
    yield from ((key, value) for key, value in found.items() if value)


def _check_settings(name: str, settings: dict[str, Any]) -> None:
    """Raise `ConfigError` for a value that no container can have."""
    try:
        ContainerSettings.model_validate({key: each for key, each in settings.items() if key != "health_check"})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        cause = first.get("ctx", {}).get("error", first["msg"])
        raise ConfigError(f"container {name}: {cause}") from None


def unused(container: ContainerDefinition) -> list[str]:
    """Return what has no meaning here, each as the part of a sentence."""
    found = {
        "HealthCheck counts in services without a target group": container.health_check is not None,
        "LogConfiguration has no effect, Docker keeps the log": container.log_configuration is not None,
        "MemoryReservation reserves nothing": container.memory_reservation is not None,
        "HostPort is chosen by Docker": any(mapping.host_port for mapping in container.port_mappings),
    }
    return [text for text, is_written in found.items() if is_written]


def _mounted(point: MountPoint, volumes: list[Volume]) -> str:
    volume = next((volume for volume in volumes if volume.name == point.source_volume), None)
    if volume is None:
        raise ConfigError(f"MountPoints: there is no volume {point.source_volume} in Volumes")
    source = volume.host.source_path if volume.host and volume.host.source_path else volume.name
    return f"{source}:{point.container_path}{':ro' if point.read_only else ''}"


def _cores(text: str) -> float | None:
    """Return a limit in cores. None if it is all that the machine has."""
    if found := _VCPU.fullmatch(text.strip()):
        cores = float(found[1])
    elif text.strip().isdecimal():
        cores = int(text) / _UNITS
    else:
        raise ConfigError(f"Invalid 'cpu' setting for task: {text!r}")
    return cores if 0 < cores < (os.cpu_count() or 1) else None


def _mib(text: str) -> int:
    if found := _GB.fullmatch(text.strip()):
        return round(float(found[1]) * _MIB)
    if text.strip().isdecimal():
        return int(text)
    raise ConfigError(f"Invalid 'memory' setting for task: {text!r}")
