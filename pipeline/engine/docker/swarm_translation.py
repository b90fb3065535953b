"""Translation between Docker's data and the neutral values of `pipeline.engine.swarm`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pipeline.base.quantity import parse_size
from pipeline.engine.container import LogLimit
from pipeline.engine.docker.translation import LIMITED_DRIVERS, health_check
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.engine.swarm.swarm import (
    Availability,
    SwarmNode,
    SwarmService,
    SwarmServiceSpec,
    SwarmTask,
    TaskState,
)

# The Swarm waits so long before each restart, and so before it moves a task of a lost node.
_RESTART_DELAY = timedelta(seconds=1)
_CONDITIONS = {RestartPolicy.NO: "none", RestartPolicy.ON_FAILURE: "on-failure"}
_EMPTY: tuple[object, ...] = ([], {})
_NOWHERE = "node.id==stopped"


def task_template(spec: SwarmServiceSpec, secrets: Mapping[str, str], log_driver: str) -> dict[str, Any]:
    """Return what each task of a service is made from.

    `secrets` are the ids of the Swarm's secrets by name. `log_driver` is the default one of the engines.
    """
    replica = spec.replica
    template = {
        "ContainerSpec": _set(_container(replica, secrets)),
        "Resources": {"Limits": _set(_limits(replica))},
        "RestartPolicy": {
            "Condition": _CONDITIONS.get(spec.restart, "any"),
            "Delay": _nanoseconds(_RESTART_DELAY),
            "MaxAttempts": 0,
        },
        "Placement": _set(
            {
                "Constraints": list(spec.constraints),
                "Preferences": [{"Spread": {"SpreadDescriptor": label}} for label in replica.swarm.spread],
            }
        ),
        "LogDriver": _log_driver(replica, log_driver),
        "Networks": [{"Target": name, "Aliases": list(aliases)} for name, aliases in replica.options.networks.items()],
    }
    return _set(template)


def endpoint(port: int) -> dict[str, Any]:
    """Return how a service is reached: at a port of the node that runs its task, never through the routing mesh.

    Virtual IPs and the mesh need IPVS in the kernel, and fail silently without it.
    """
    ports = [{"Protocol": "tcp", "TargetPort": port, "PublishMode": "host"}] if port else []
    return {"Mode": "dnsrr", "Ports": ports}


def stopped_template(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a template whose tasks no node may run. So the Swarm stops the current one, and lists how it ended.

    With no replicas, it would forget the task as soon as that has ended.
    """
    return {**template, "Placement": {**template.get("Placement", {}), "Constraints": [_NOWHERE]}}


def service_from(row: Mapping[str, Any]) -> SwarmService:
    """Translate a service."""
    return SwarmService(row["ID"], row["Spec"]["Name"], row["Version"]["Index"], row["Spec"].get("Labels") or {})


def tasks_from(rows: Iterable[Mapping[str, Any]]) -> tuple[SwarmTask, ...]:
    """Translate tasks, the oldest first."""
    return tuple(sorted(map(_task, rows), key=lambda task: task.created_at))


def node_from(row: Mapping[str, Any]) -> SwarmNode:
    """Translate a node."""
    manager = row.get("ManagerStatus") or {}
    return SwarmNode(
        id=row["ID"],
        name=row["Description"].get("Hostname", ""),
        address=_address(row),
        is_ready=row["Status"]["State"] == "ready",
        availability=Availability(row["Spec"]["Availability"]),
        labels=row["Spec"].get("Labels") or {},
        is_manager=row["Spec"]["Role"] == "manager",
        is_leader=bool(manager.get("Leader")),
    )


def _address(row: Mapping[str, Any]) -> str:
    """Return the address of a node. A manager that has only itself knows its own as 0.0.0.0."""
    address = str(row["Status"].get("Addr", ""))
    managed = str((row.get("ManagerStatus") or {}).get("Addr", "")).rpartition(":")[0]
    return managed.strip("[]") if address in ("", "0.0.0.0") and managed else address  # noqa: S104  # compared only


def _task(row: Mapping[str, Any]) -> SwarmTask:
    status = row["Status"]
    state = TaskState(status["State"])
    container = status.get("ContainerStatus") or {}
    ports = (status.get("PortStatus") or {}).get("Ports") or ()
    return SwarmTask(
        id=row["ID"],
        service=row["ServiceID"],
        created_at=datetime.fromisoformat(row["CreatedAt"]),
        changed_at=datetime.fromisoformat(status["Timestamp"]),
        state=state,
        node=row.get("NodeID", ""),
        container=container.get("ContainerID", ""),
        exit_code=container.get("ExitCode") if state.has_ended and container.get("ContainerID") else None,
        error=status.get("Err", ""),
        port=next((each["PublishedPort"] for each in ports), 0) if state is TaskState.RUNNING else 0,
    )


def _container(replica: ReplicaSpec, secrets: Mapping[str, str]) -> dict[str, Any]:
    options = replica.options
    return {
        "Image": replica.image,
        "Labels": dict(options.labels),
        **_program(replica),
        "Env": [f"{name}={value}" for name, value in replica.environment.items()],
        "Dir": options.working_dir,
        "User": options.user,
        "StopSignal": options.stop_signal,
        "StopGracePeriod": _nanoseconds(replica.grace),
        "Mounts": [*map(_mount, replica.volumes), *(_tmpfs(*each) for each in options.tmpfs.items())],
        "Healthcheck": _health_check(replica),
        "Hosts": [_host(entry) for entry in options.extra_hosts],
        "Secrets": [_secret(name, file, secrets[name]) for name, file in replica.swarm.secrets],
        "ReadOnly": options.read_only,
        "Init": replica.init,
        "CapabilityAdd": _capabilities(replica.privileges.cap_add),
        "CapabilityDrop": _capabilities(replica.privileges.cap_drop),
        "Privileges": {"NoNewPrivileges": True} if replica.privileges.no_new_privileges else None,
        "Ulimits": [{"Name": name, "Soft": soft, "Hard": hard} for name, (soft, hard) in options.ulimits.items()],
    }


def _program(replica: ReplicaSpec) -> dict[str, Any]:
    """Return entrypoint and arguments. A Swarm calls them `Command` and `Args`, and has no empty entrypoint."""
    if replica.entrypoint == () and replica.command:
        return {"Command": list(replica.command)}
    return {"Command": list(replica.entrypoint or ()), "Args": list(replica.command or ())}


def _limits(replica: ReplicaSpec) -> dict[str, Any]:
    return {
        "MemoryBytes": replica.memory,
        "NanoCPUs": round(replica.cpus * 1e9) if replica.cpus else None,
        "Pids": replica.pids,
    }


def _health_check(replica: ReplicaSpec) -> dict[str, Any] | None:
    check = health_check(replica.probe)
    names = {"test": "Test", "interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}
    return {{**names, "retries": "Retries"}[name]: value for name, value in check.items()} if check else None


def _log_driver(replica: ReplicaSpec, default: str) -> dict[str, Any] | None:
    wanted = replica.options.log_driver
    driver = wanted.name if wanted and wanted.name else default
    limits = _log_limits(replica.log) if driver in LIMITED_DRIVERS else {}
    options = {**limits, **(wanted.options if wanted else {})}
    return {"Name": driver, "Options": options} if options or (wanted and wanted.name) else None


def _log_limits(log: LogLimit | None) -> dict[str, str]:
    return {"max-size": str(log.size), "max-file": str(log.files)} if log else {}


def _mount(volume: str) -> dict[str, Any]:
    source, target, *mode = volume.split(":")
    kind = "bind" if source.startswith("/") else "volume"
    return {"Type": kind, "Source": source, "Target": target, "ReadOnly": "ro" in mode}


def _tmpfs(path: str, options: str) -> dict[str, Any]:
    """Return a mount in memory. A Swarm has its size and its mode only."""
    given = dict(each.partition("=")[::2] for each in options.split(",") if each)
    found: dict[str, Any] = {}
    if "size" in given:
        found["SizeBytes"] = parse_size(given["size"])
    if "mode" in given:
        found["Mode"] = int(given["mode"], 8)
    return {"Type": "tmpfs", "Target": path, **({"TmpfsOptions": found} if found else {})}


def _host(entry: str) -> str:
    """Return an entry as /etc/hosts has it: address, then name."""
    name, _, address = entry.partition(":")
    return f"{address} {name}"


def _secret(name: str, file: str, identity: str) -> dict[str, Any]:
    return {
        "SecretID": identity,
        "SecretName": name,
        "File": {"Name": file, "UID": "0", "GID": "0", "Mode": 0o444},
    }


def _capabilities(names: Iterable[str]) -> list[str]:
    return [name if name == "ALL" else f"CAP_{name}" for name in names]


def _nanoseconds(time: timedelta) -> int:
    return round(time.total_seconds() * 1e9)


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are set, so that the others are those of the engine."""
    return {
        name: value
        for name, value in values.items()
        if value is not None and value is not False and value not in _EMPTY
    }
