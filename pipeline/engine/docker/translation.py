"""Translation between Docker's data and the neutral values of `pipeline.engine.container`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.engine.container import Container, ContainerHealth, ContainerSpec, HealthProbe

# The CPU weight of builds and tests. Replicas have Docker's default, 1024.
BUILD_CPU_SHARES = 128


# Docker's log drivers that have these limits.
_LIMITED_DRIVERS = ("json-file", "local")


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
    if spec.log and log_driver in _LIMITED_DRIVERS:
        limits = {"max-size": str(spec.log.size), "max-file": str(spec.log.files)}
        options["log_config"] = {"Type": log_driver, "Config": limits}
    if spec.low_priority:
        # With swap, tests could pass here and be killed on a machine without swap.
        options |= {"cpu_shares": BUILD_CPU_SHARES, "memswap_limit": spec.memory}
    return options


def health_check(probe: HealthProbe | None) -> dict[str, Any] | None:
    """Return the argument `healthcheck` of `create_container`. None leaves the HEALTHCHECK of the image in force."""
    if probe is None:
        return {"test": ["NONE"]}
    if probe.command is None:
        return None
    # Docker takes nanoseconds.
    interval, timeout = (round(each.total_seconds() * 1e9) for each in (probe.interval, probe.timeout))
    return {"test": ["CMD", *probe.command], "interval": interval, "timeout": timeout, "retries": probe.threshold}


def container_from_list(row: Mapping[str, Any]) -> Container:
    """Translate one row of Docker's list of containers."""
    endpoints = row.get("NetworkSettings", {}).get("Networks", {}).values()
    return Container(
        id=row["Id"],
        name=row["Names"][0].removeprefix("/") if row["Names"] else row["Id"][:12],
        state=row["State"],
        image=row["ImageID"],
        labels=row["Labels"],
        address=next((a for e in endpoints if (a := _address(e))), ""),
        created_at=datetime.fromtimestamp(row["Created"], UTC),
        running_for=_seconds(row.get("Status", "")),
        health=_health(row.get("Status", "")),
    )


def container_from_inspect(row: Mapping[str, Any]) -> Container:
    """Translate Docker's detailed description of one container."""
    state = row["State"]
    endpoints = row["NetworkSettings"]["Networks"].values()
    return Container(
        id=row["Id"],
        name=row["Name"].removeprefix("/"),
        state=state["Status"],
        image=row["Image"],
        labels=row["Config"]["Labels"],
        address=next((a for e in endpoints if (a := _address(e))), ""),
        created_at=datetime.fromisoformat(row["Created"]),
        pid=state["Pid"],
        process_started_at=datetime.fromisoformat(state["StartedAt"]),
        restarts=row["RestartCount"],
        exit_code=state["ExitCode"],
        oom_killed=state["OOMKilled"],
        mounts=tuple(mount["Destination"] for mount in row.get("Mounts") or ()),
        health=_inspected_health(state),
    )


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
