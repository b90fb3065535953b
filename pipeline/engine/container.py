"""A container: what it is made from, and what Docker shows of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Container:
    """A container as Docker shows it. `address` is its own in its network, also while it is stopped.

    `running_for` is in seconds, and None where it does not run, or for so long that a list has no seconds any more.
    `process_started_at` is the last start of its process, `restarts` the number of automatic restarts. Docker's list
    has neither.
    """

    id: str
    name: str
    state: str
    image: str
    labels: Mapping[str, str]
    address: str
    created_at: datetime
    pid: int = 0
    exit_code: int | None = None
    oom_killed: bool = False
    running_for: int | None = None
    process_started_at: datetime | None = None
    restarts: int = 0


# The weight of builds and tests where processors are scarce; what serves has Docker's usual 1024.
BUILD_CPU_SHARES = 128


@dataclass(frozen=True)
class ContainerSpec:
    """What a container is made from. `memory` in bytes, `cpus` in cores; None: no limit.

    `published`: a port of the container, and the port of 127.0.0.1 that leads there.
    `aliases` are host names by which others in its network reach it. `drop_capabilities` removes all
    capabilities. `low_priority` lowers its share of the processor and disables swap.
    """

    name: str
    image: str
    labels: Mapping[str, str]
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    network: str = "bridge"
    address: str | None = None
    aliases: tuple[str, ...] = ()
    published: tuple[int, int] | None = None
    drop_capabilities: bool = False
    low_priority: bool = False


def host_options(spec: ContainerSpec) -> dict[str, Any]:
    options: dict[str, Any] = {
        "binds": list(spec.volumes),
        "mem_limit": spec.memory,
        "nano_cpus": round(spec.cpus * 1e9) if spec.cpus else None,
        "pids_limit": spec.pids,
        "network_mode": spec.network,
        "init": False,
    }
    if spec.published:
        inside, outside = spec.published
        options["port_bindings"] = {inside: ("127.0.0.1", outside)}
    if spec.low_priority:
        # Swap would let tests pass here that are killed where there is none.
        options |= {"cpu_shares": BUILD_CPU_SHARES, "memswap_limit": spec.memory}
    if spec.drop_capabilities:
        options |= {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
    return options


def listed(row: Mapping[str, Any]) -> Container:
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
    )


def inspected(row: Mapping[str, Any]) -> Container:
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
    )


def _seconds(status: str) -> int | None:
    """Docker's own words for people, which are all that its list has of this."""
    found = re.match(r"Up (?:(\d+) seconds?|Less than a second)", status)
    return int(found[1] or 0) if found else None


def _address(endpoint: Mapping[str, Any]) -> str:
    return str((endpoint.get("IPAMConfig") or {}).get("IPv4Address") or endpoint.get("IPAddress") or "")
