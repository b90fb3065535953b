"""The form in which the Docker Engine gets services, and reports tasks and nodes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.engine.container import HealthProbe, LogLimit, Privileges
from pipeline.engine.container_options import ContainerOptions, LogDriver, Ulimit
from pipeline.engine.docker.swarm_translation import (
    endpoint,
    node_from,
    service_from,
    stopped_template,
    task_template,
    tasks_from,
)
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.engine.swarm.swarm import Availability, SwarmServiceSpec, TaskState
from pipeline.engine.swarm_options import SwarmOptions, SwarmSecret

SPEC = ReplicaSpec("shop", 4, 9, "c0ffee", "sha256:1", 8080, name="shop.web.r4.abc")
SECOND = timedelta(seconds=1)


def template(driver: str = "json-file", **more: Any) -> dict[str, Any]:
    """Return the template of a replica with these settings."""
    spec = replace(SPEC, **more)
    service = SwarmServiceSpec("shop-web", {}, spec, spec.swarm.constraints, spec.restart)
    return task_template(service, {"db": "id-of-db"}, driver)


def container(**more: Any) -> dict[str, Any]:
    """Return what a container is made from."""
    found: dict[str, Any] = template(**more)["ContainerSpec"]
    return found


def test_a_replica_without_settings_leaves_the_rest_to_the_engine() -> None:
    """Only health checks are turned off, and it has its time to stop and its restarts."""
    assert template(driver="") == {
        "ContainerSpec": {
            "Image": "sha256:1",
            "StopGracePeriod": 10_000_000_000,
            "Healthcheck": {"Test": ["NONE"]},
        },
        "Resources": {"Limits": {}},
        "RestartPolicy": {"Condition": "any", "Delay": 1_000_000_000, "MaxAttempts": 0},
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"command": ("serve",)}, {"Args": ["serve"]}),
        ({"entrypoint": ("/run",), "command": ("a",)}, {"Command": ["/run"], "Args": ["a"]}),
        # An empty entrypoint is none.
        ({"entrypoint": (), "command": ("a", "b")}, {"Command": ["a", "b"]}),
        ({"environment": {"A": "1"}}, {"Env": ["A=1"]}),
        ({"grace": timedelta(0)}, {"StopGracePeriod": 0}),
        ({"init": True}, {"Init": True}),
        ({"options": ContainerOptions(user="1000:1000", working_dir="/srv")}, {"User": "1000:1000", "Dir": "/srv"}),
        ({"options": ContainerOptions(stop_signal="SIGQUIT")}, {"StopSignal": "SIGQUIT"}),
        ({"options": ContainerOptions(read_only=True)}, {"ReadOnly": True}),
        ({"options": ContainerOptions(labels={"team": "a"})}, {"Labels": {"team": "a"}}),
        ({"options": ContainerOptions(extra_hosts=("db:10.0.0.5",))}, {"Hosts": ["10.0.0.5 db"]}),
        ({"options": ContainerOptions(extra_hosts=("db:fd00::5",))}, {"Hosts": ["fd00::5 db"]}),
        (
            {"options": ContainerOptions(ulimits={"nofile": Ulimit(1, -1)})},
            {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": -1}]},
        ),
        (
            {"privileges": Privileges(("CHOWN",), ("ALL",))},
            {"CapabilityAdd": ["CAP_CHOWN"], "CapabilityDrop": ["ALL"]},
        ),
        ({"privileges": Privileges(no_new_privileges=True)}, {"Privileges": {"NoNewPrivileges": True}}),
        ({"probe": HealthProbe(None, SECOND, SECOND, 1)}, {}),
        (
            {"probe": HealthProbe(("true",), SECOND, 2 * SECOND, 3, 4 * SECOND)},
            {
                "Healthcheck": {
                    "Test": ["CMD", "true"],
                    "Interval": 1_000_000_000,
                    "Timeout": 2_000_000_000,
                    "Retries": 3,
                    "StartPeriod": 4_000_000_000,
                }
            },
        ),
        (
            {"volumes": ("/srv/data:/data:ro", "cache:/cache")},
            {
                "Mounts": [
                    {"Type": "bind", "Source": "/srv/data", "Target": "/data", "ReadOnly": True},
                    {"Type": "volume", "Source": "cache", "Target": "/cache", "ReadOnly": False},
                ]
            },
        ),
        (
            {"options": ContainerOptions(tmpfs={"/run": "", "/tmp": "size=64m,mode=1777"})},
            {
                "Mounts": [
                    {"Type": "tmpfs", "Target": "/run"},
                    {"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"SizeBytes": 64 * 1024**2, "Mode": 0o1777}},
                ]
            },
        ),
        (
            {"swarm": SwarmOptions(secrets=(SwarmSecret("db", "password"),))},
            {
                "Secrets": [
                    {
                        "SecretID": "id-of-db",
                        "SecretName": "db",
                        "File": {"Name": "password", "UID": "0", "GID": "0", "Mode": 0o444},
                    }
                ]
            },
        ),
    ],
)
def test_each_setting_of_a_container(settings: dict[str, Any], expected: dict[str, Any]) -> None:
    """A Swarm has its own names and units for them."""
    plain = container()
    found = container(**settings)
    changed = {name: value for name, value in found.items() if plain.get(name) != value}
    assert changed == expected
    assert ("Healthcheck" in found) is (settings.get("probe", SPEC) is SPEC or "Healthcheck" in expected)


@pytest.mark.parametrize(
    ("settings", "key", "expected"),
    [
        (
            {"memory": 1024, "cpus": 0.5, "pids": 40},
            "Resources",
            {"MemoryBytes": 1024, "NanoCPUs": 5 * 10**8, "Pids": 40},
        ),
        ({"restart": RestartPolicy.NO}, "RestartPolicy", "none"),
        ({"restart": RestartPolicy.ON_FAILURE}, "RestartPolicy", "on-failure"),
        ({"restart": RestartPolicy.UNLESS_STOPPED}, "RestartPolicy", "any"),
        ({"swarm": SwarmOptions(("node.role==worker",))}, "Placement", {"Constraints": ["node.role==worker"]}),
        (
            {"swarm": SwarmOptions(spread=("node.labels.rack",))},
            "Placement",
            {"Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.rack"}}]},
        ),
        ({"options": ContainerOptions(networks={"mesh": ("a",)})}, "Networks", [{"Target": "mesh", "Aliases": ["a"]}]),
    ],
)
def test_each_setting_of_a_task(settings: dict[str, Any], key: str, expected: object) -> None:
    """Limits, restarts, nodes and networks."""
    found = template(**settings)[key]
    assert {"Resources": lambda: found["Limits"], "RestartPolicy": lambda: found["Condition"]}.get(
        key, lambda: found
    )() == expected


@pytest.mark.parametrize(
    ("default", "driver", "expected"),
    [
        ("json-file", None, {"Name": "json-file", "Options": {"max-size": "5", "max-file": "2"}}),
        ("journald", None, None),
        ("json-file", LogDriver("syslog", {"tag": "a"}), {"Name": "syslog", "Options": {"tag": "a"}}),
        ("json-file", LogDriver("local"), {"Name": "local", "Options": {"max-size": "5", "max-file": "2"}}),
        ("json-file", LogDriver("none"), {"Name": "none", "Options": {}}),
    ],
)
def test_the_log_driver(default: str, driver: LogDriver | None, expected: object) -> None:
    """The limit counts for the drivers that have one."""
    options = ContainerOptions(log_driver=driver)
    assert template(default, log=LogLimit(5, 2), options=options).get("LogDriver") == expected


def test_a_service_is_reached_at_a_port_of_the_node() -> None:
    """Never by the routing mesh or a virtual IP, which fail silently on some kernels."""
    assert endpoint(8080) == {
        "Mode": "dnsrr",
        "Ports": [{"Protocol": "tcp", "TargetPort": 8080, "PublishMode": "host"}],
    }
    assert endpoint(0) == {"Mode": "dnsrr", "Ports": []}


def test_a_stop_changes_only_which_nodes_may_run_the_task() -> None:
    """So the Swarm keeps how the task ended. Preferences stay."""
    before = template(swarm=SwarmOptions(("node.role==worker",), ("node.labels.rack",)))
    after = stopped_template(before)
    assert after["Placement"].pop("Constraints") == ["node.id==stopped"]
    before["Placement"].pop("Constraints")
    assert after == before


def row(state: str, number: int = 1, **status: Any) -> dict[str, Any]:
    """Return a task as Docker reports it."""
    at = f"2026-01-01T00:00:0{number}.123456789Z"
    return {
        "ID": f"t{number}",
        "ServiceID": "s",
        "CreatedAt": at,
        "Status": {"State": state, "Timestamp": at, **status},
    }


def test_a_running_task_has_the_port_of_its_node() -> None:
    """Docker lists it twice, for IPv4 and IPv6."""
    port = {"PublishedPort": 32768, "TargetPort": 8080, "PublishMode": "host"}
    running = {
        **row("running", PortStatus={"Ports": [port, port]}, ContainerStatus={"ContainerID": "c"}),
        "NodeID": "n",
    }
    (found,) = tasks_from([running])
    assert (found.state, found.node, found.port, found.container) == (TaskState.RUNNING, "n", 32768, "c")
    assert found.exit_code is None


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [
        ({"ContainerStatus": {"ContainerID": "c", "ExitCode": 3}}, 3),
        ({"ContainerStatus": {"ContainerID": "c"}}, None),
        ({"ContainerStatus": {"ContainerID": "", "ExitCode": 0}}, None),
        ({}, None),
    ],
)
def test_a_task_that_ended_has_an_exit_code_if_it_had_a_process(status: dict[str, Any], exit_code: int | None) -> None:
    """Docker gives 0 for a container that was never made."""
    (found,) = tasks_from([row("failed", Err="why", **status)])
    assert (found.exit_code, found.error, found.port) == (exit_code, "why", 0)


def test_tasks_are_in_the_order_of_their_creation() -> None:
    """Docker lists them in any."""
    assert [task.id for task in tasks_from([row("running", 2), row("failed", 1)])] == ["t1", "t2"]


@pytest.mark.parametrize("state", TaskState)
def test_every_state_of_a_task_is_known(state: TaskState) -> None:
    """Those up to running are the ones in which it may still run."""
    (found,) = tasks_from([row(state.value)])
    ended = {"complete", "shutdown", "failed", "rejected", "remove", "orphaned"}
    assert found.state.has_ended is (state.value in ended)


def node(**more: Any) -> dict[str, Any]:
    """Return a node as Docker reports it."""
    return {
        "ID": "n1",
        "Description": {"Hostname": "node1"},
        "Spec": {"Availability": "active", "Role": "worker"},
        "Status": {"State": "ready", "Addr": "10.0.0.1"},
        **more,
    }


def test_a_node() -> None:
    """A worker has no status of a manager."""
    found = node_from(node())
    assert (found.id, found.name, found.address, found.is_ready) == ("n1", "node1", "10.0.0.1", True)
    assert (found.availability, found.is_manager, found.is_leader) == (Availability.ACTIVE, False, False)


@pytest.mark.parametrize(
    ("status", "manager", "address"),
    [
        ("0.0.0.0", "10.0.0.7:2377", "10.0.0.7"),  # as Docker reports it
        ("", "[fd00::7]:2377", "fd00::7"),
        ("10.0.0.1", "10.0.0.7:2377", "10.0.0.1"),
    ],
)
def test_the_address_of_a_manager(status: str, manager: str, address: str) -> None:
    """One that has not been joined by another node does not know its address as a node."""
    spec = {"Availability": "drain", "Role": "manager", "Labels": {"zone": "a"}}
    managing = {"Leader": True, "Addr": manager}
    found = node_from(node(Spec=spec, Status={"State": "down", "Addr": status}, ManagerStatus=managing))
    assert (found.address, found.is_manager, found.is_leader, found.is_ready) == (address, True, True, False)
    assert (found.availability, found.labels) == (Availability.DRAIN, {"zone": "a"})


def test_a_service_without_labels() -> None:
    """One of another program may have none."""
    found = service_from({"ID": "s", "Version": {"Index": 7}, "Spec": {"Name": "x"}})
    assert (found.id, found.name, found.version, found.labels) == ("s", "x", 7, {})
