"""Translation between Docker's data and the neutral values of `pipeline.engine.container`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.engine.container import Container, ContainerHealth, ContainerSpec, HealthProbe
from pipeline.engine.container_options import ContainerOptions, DeviceRequest

# The CPU weight of builds and tests. Replicas have Docker's default, 1024.
BUILD_CPU_SHARES = 128


# Docker's log drivers that have these limits.
LIMITED_DRIVERS = ("json-file", "local")


def host_options(spec: ContainerSpec, log_driver: str | None = None) -> dict[str, Any]:
    """Return the arguments of `create_host_config` for a container. `log_driver`: the engine's default one."""
    options: dict[str, Any] = {
        "binds": list(spec.volumes),
        "mem_limit": spec.memory,
        "nano_cpus": round(spec.cpus * 1e9) if spec.cpus else None,
        "pids_limit": spec.pids,
        "cap_add": list(spec.privileges.cap_add),
        "cap_drop": list(spec.privileges.cap_drop),
        "security_opt": ["no-new-privileges"] if spec.privileges.no_new_privileges else None,
        "network_mode": spec.network,
        "init": spec.init,
        "shm_size": spec.shm_size,
    }
    if spec.published:
        options["port_bindings"] = {
            f"{each.container_port}/{each.protocol}": (each.address, each.port or None) for each in spec.published
        }
    if log := _log_config(spec, log_driver):
        options["log_config"] = log
    if spec.low_priority:
        # With swap, tests could pass here and be killed on a machine without swap.
        options |= {"cpu_shares": BUILD_CPU_SHARES, "memswap_limit": spec.memory}
    return options | _more_host_options(spec.options)


def _more_host_options(options: ContainerOptions) -> dict[str, Any]:
    """Return the arguments for the options that are set."""
    found = {
        "read_only": options.read_only,
        "tmpfs": dict(options.tmpfs),
        "extra_hosts": list(options.extra_hosts),
        "ulimits": [{"Name": name, "Soft": soft, "Hard": hard} for name, (soft, hard) in options.ulimits.items()],
        "device_requests": [_device_request(each) for each in options.device_requests],
        "devices": [":".join(each) for each in options.devices],
    }
    return {name: value for name, value in found.items() if value}


def _device_request(request: DeviceRequest) -> dict[str, Any]:
    return {
        "driver": request.driver,
        "count": request.count,
        "device_ids": list(request.device_ids),
        "capabilities": [list(request.capabilities)],
        "options": dict(request.options),
    }


def _log_config(spec: ContainerSpec, default_driver: str | None) -> dict[str, Any] | None:
    """Return the log driver with its options, or None if they are those of the engine."""
    wanted = spec.options.log_driver
    driver = wanted.name if wanted and wanted.name else default_driver
    limits = {"max-size": str(spec.log.size), "max-file": str(spec.log.files)} if spec.log else {}
    config = {**(limits if driver in LIMITED_DRIVERS else {}), **(wanted.options if wanted else {})}
    return {"Type": driver, "Config": config} if config or (wanted and wanted.name) else None


def health_check(probe: HealthProbe | None) -> dict[str, Any] | None:
    """Return the argument `healthcheck` of `create_container`. None leaves the HEALTHCHECK of the image in force."""
    if probe is None:
        return {"test": ["NONE"]}
    if probe.command is None:
        return None
    # Docker takes nanoseconds.
    times = {"interval": probe.interval, "timeout": probe.timeout, "start_period": probe.start_period}
    nanoseconds = {name: round(each.total_seconds() * 1e9) for name, each in times.items() if each}
    return {"test": ["CMD", *probe.command], **nanoseconds, "retries": probe.threshold}


def container_from_list(row: Mapping[str, Any]) -> Container:
    """Translate one row of Docker's list of containers."""
    return Container(
        id=row["Id"],
        name=row["Names"][0].removeprefix("/") if row["Names"] else row["Id"][:12],
        state=row["State"],
        image=row["ImageID"],
        labels=row["Labels"],
        address=address_in(row, row.get("HostConfig", {}).get("NetworkMode", "")),
        created_at=datetime.fromtimestamp(row["Created"], UTC),
        running_for=_seconds(row.get("Status", "")),
        health=_health(row.get("Status", "")),
    )


def container_from_inspect(row: Mapping[str, Any]) -> Container:
    """Translate Docker's detailed description of one container."""
    state = row["State"]
    return Container(
        id=row["Id"],
        name=row["Name"].removeprefix("/"),
        state=state["Status"],
        image=row["Image"],
        labels=row["Config"]["Labels"],
        address=address_in(row, row.get("HostConfig", {}).get("NetworkMode", "")),
        created_at=datetime.fromisoformat(row["Created"]),
        pid=state["Pid"],
        process_started_at=datetime.fromisoformat(state["StartedAt"]),
        finished_at=_finished(state),
        restarts=row["RestartCount"],
        exit_code=state["ExitCode"],
        oom_killed=state["OOMKilled"],
        mounts=tuple(mount["Destination"] for mount in row.get("Mounts") or ()),
        health=_inspected_health(state),
    )


def address_in(row: Mapping[str, Any], network: str) -> str:
    """Return a container's address in a network, else in any. `row` is Docker's, of a list or of one container."""
    endpoints = row.get("NetworkSettings", {}).get("Networks") or {}
    first = [endpoints[network]] if network in endpoints else []
    return next((address for each in (*first, *endpoints.values()) if (address := _address(each))), "")


def _finished(state: Mapping[str, Any]) -> datetime | None:
    """Return the end of a container's process, which Docker gives for one that runs as well, and then in the past."""
    text = state.get("FinishedAt")
    return datetime.fromisoformat(text) if text and state["Status"] in ("exited", "dead") else None


def _seconds(status: str) -> int | None:
    """Return the age of a process from its status text, the only field of the list that has it."""
    found = re.match(r"Up (?:(\d+) seconds?|Less than a second)", status)
    return int(found[1] or 0) if found else None


def _health(status: str) -> ContainerHealth | None:
    """Return the health in a status text such as `Up 4 seconds (health: starting)`, the only field that has it."""
    found = re.fullmatch(r"Up .*\((?:health: )?(starting|healthy|unhealthy)\)", status)
    return ContainerHealth(found[1]) if found else None


def _inspected_health(state: Mapping[str, Any]) -> ContainerHealth | None:
    status = state.get("Health", {}).get("Status")
    return ContainerHealth(status) if status in list(ContainerHealth) and state["Running"] else None


def _address(endpoint: Mapping[str, Any]) -> str:
    return str((endpoint.get("IPAMConfig") or {}).get("IPv4Address") or endpoint.get("IPAddress") or "")
