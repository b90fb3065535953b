"""The container of a task definition, and the keys of `deploy` in pipeline.yaml that it comes to."""

from __future__ import annotations

import os
import re
from typing import Any, Literal

from pydantic import Field

from pipeline.base.errors import ConfigError
from pipeline.stacks.provider import Properties

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


class LinuxParameters(Properties):
    """Settings of Linux."""

    init_process_enabled: bool = False
    shared_memory_size: int | None = None


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
    health_check: dict[str, Any] | None = None
    docker_labels: dict[str, str] | None = None
    start_timeout: int | None = None
    ulimits: list[dict[str, Any]] = Field(default_factory=list)
    secrets: list[dict[str, Any]] = Field(default_factory=list)
    depends_on: list[dict[str, Any]] = Field(default_factory=list)
    # Only what tools write where nothing is wanted.
    privileged: Literal[False] = False
    readonly_root_filesystem: Literal[False] = False
    volumes_from: list[Any] = Field(default_factory=list, max_length=0)
    system_controls: list[Any] = Field(default_factory=list, max_length=0)
    environment_files: list[Any] = Field(default_factory=list, max_length=0)
    extra_hosts: list[Any] = Field(default_factory=list, max_length=0)


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
    if container.secrets:
        raise ConfigError(
            f"container {container.name}: Secrets are not supported, because no secrets manager is here",
            hint="give the values as parameters with NoEcho, and use them in Environment",
        )
    if container.ulimits:
        raise ConfigError(f"container {container.name}: Ulimits are not supported")
    if container.depends_on:
        raise ConfigError(f"container {container.name}: DependsOn needs a second container, and a task has one")


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
    return {key: value for key, value in found.items() if value is not None}


def unused(container: ContainerDefinition) -> list[str]:
    """Return what has no meaning here, each as the part of a sentence."""
    found = {
        "the target group's check replaces HealthCheck": container.health_check is not None,
        "LogConfiguration has no effect, Docker keeps the log": container.log_configuration is not None,
        "MemoryReservation reserves nothing": container.memory_reservation is not None,
        "HostPort is chosen by Docker": any(mapping.host_port for mapping in container.port_mappings),
        "DockerLabels are not set": bool(container.docker_labels),
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
