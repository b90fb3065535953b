"""The clusters of pipelines, from deployment to deployment."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.engine.cluster import LOCAL_HOST, ClusterHost, ClusterSpec, RuntimeName
from pipeline.engine.host import HostSpec
from pipeline.engine.placement import Placement
from pipeline.store.records import Deployment, DeploymentState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run

ALONE = ClusterSpec()


def host(name: str, docker: str = "", address: str = "10.0.0.1") -> ClusterHost:
    return ClusterHost(HostSpec(name, docker or f"ssh://{name}", "a", address))


def cluster(*names: str) -> ClusterSpec:
    return ClusterSpec(hosts=tuple(host(name) for name in names))


def begin(store: Store, wanted: ClusterSpec | None, *, is_down: bool = False) -> Deployment:
    run, active = begin_run(store, "shop").number, store.releases.active("shop")
    number = None
    if not is_down:
        spec = {"sha": "a" * 40, "subject": "", "image_id": "1", "image_tag": "1", "spec": "{}"}
        number = store.releases.create("shop", run, **spec).number
    return store.deployments.begin("shop", run, active.number if active else None, number, cluster=wanted)


def deploy(
    store: Store,
    wanted: ClusterSpec | None,
    state: DeploymentState = DeploymentState.SUCCEEDED,
    *,
    is_down: bool = False,
) -> None:
    store.deployments.finish(begin(store, wanted, is_down=is_down), state)


def places(found: ClusterSpec) -> dict[str, bool]:
    """Return which hosts there are, and whether each takes replicas."""
    return {each.name: each.takes_replicas for each in found.hosts}


def test_a_pipeline_without_hosts_is_the_local_engine(store: Store) -> None:
    """Before its first deployment and after it, with no row."""
    assert store.clusters.of("shop") == ALONE
    deploy(store, ALONE)
    assert store.clusters.of("shop") == store.clusters.settled("shop") == store.clusters.of_deployment("shop") == ALONE


def test_a_success_settles_the_hosts_of_its_file(store: Store) -> None:
    """With order, zones, addresses and placement. The local engine leaves until it is known to be empty."""
    wanted = ClusterSpec(placement=Placement.PACK, hosts=(host("app2", address="10.0.0.2"), host("app1")))
    deploy(store, wanted)
    assert store.clusters.settled("shop") == wanted
    assert store.clusters.of("shop").hosts == (*wanted.hosts, ClusterHost(LOCAL_HOST, takes_replicas=False))
    assert store.clusters.forget("shop", "local")
    assert store.clusters.of("shop") == wanted
    assert store.clusters.of("blog") == ALONE


def test_the_hosts_of_an_open_deployment_are_known(store: Store) -> None:
    """They take replicas for it only, so that after a kill the others restore what was there."""
    deploy(store, cluster("app1", "app2"))
    store.clusters.forget("shop", "local")
    row = begin(store, cluster("app2", "app3"))
    assert places(store.clusters.of("shop")) == {"app1": True, "app2": True, "app3": False}
    assert places(store.clusters.of_deployment("shop")) == {"app2": True, "app3": True, "app1": False}
    assert store.clusters.settled("shop") == cluster("app1", "app2")
    store.deployments.finish(row, DeploymentState.SUCCEEDED)
    assert places(store.clusters.of("shop")) == {"app2": True, "app3": True, "app1": False}


@pytest.mark.parametrize("state", [DeploymentState.FAILED, DeploymentState.ROLLED_BACK, DeploymentState.INTERRUPTED])
def test_a_failure_falls_back_to_the_hosts_of_before(store: Store, state: DeploymentState) -> None:
    """The hosts that it added leave, since something may be left there."""
    deploy(store, cluster("app1"))
    store.clusters.forget("shop", "local")
    deploy(store, cluster("app2"), state)
    assert places(store.clusters.of("shop")) == {"app1": True, "app2": False}
    assert store.clusters.of_deployment("shop") == store.clusters.of("shop")


def test_a_rollback_keeps_the_hosts(store: Store) -> None:
    """As do a restart and another number of replicas: the hosts are no part of a release."""
    deploy(store, cluster("app1"))
    store.clusters.forget("shop", "local")
    deploy(store, None)
    assert store.clusters.of("shop") == cluster("app1")


def test_a_host_comes_back_into_the_file(store: Store) -> None:
    """It leaves no more, with the address that it has now."""
    deploy(store, cluster("app1", "app2"))
    deploy(store, cluster("app1"))
    assert places(store.clusters.of("shop")) == {"app1": True, "app2": False, "local": False}
    deploy(store, ClusterSpec(hosts=(host("app1"), host("app2", address="10.0.0.9"))))
    assert places(store.clusters.of("shop")) == {"app1": True, "app2": True, "local": False}
    assert store.clusters.of("shop").specs[1].address == "10.0.0.9"
    assert not store.clusters.forget("shop", "app2")


def test_an_engine_under_another_name_is_the_same_host(store: Store) -> None:
    """Otherwise each of its replicas would be listed twice, once as one to replace."""
    deploy(store, cluster("app1"))
    deploy(store, ClusterSpec(hosts=(host("first", "ssh://root@app1:22"), host("here", "local"))))
    assert places(store.clusters.of("shop")) == {"first": True, "here": True}


def test_a_name_that_gets_another_address(store: Store) -> None:
    """The former address stays under another name: it may be another machine, whose replicas have to be replaced."""
    deploy(store, cluster("app1"))
    store.clusters.forget("shop", "local")
    row = begin(store, ClusterSpec(hosts=(host("app1", "ssh://new"),)))
    assert [(each.name, each.spec.docker) for each in store.clusters.of_deployment("shop").hosts] == [
        ("app1", "ssh://new"),
        ("app1-other", "ssh://app1"),
    ]
    assert [(each.name, each.spec.docker) for each in store.clusters.of("shop").hosts] == [
        ("app1", "ssh://app1"),
        ("app1-other", "ssh://new"),
    ]
    store.deployments.finish(row, DeploymentState.SUCCEEDED)
    deploy(store, ClusterSpec(hosts=(host("app1", "ssh://newest"),)))
    assert [(each.name, each.spec.docker) for each in store.clusters.of("shop").hosts] == [
        ("app1", "ssh://newest"),
        ("app1-other", "ssh://app1"),
        ("xapp1-other", "ssh://new"),
    ]


def test_back_to_the_local_engine(store: Store) -> None:
    """The hosts leave, and the local engine is one of the hosts until they are gone."""
    deploy(store, cluster("app1"))
    row = begin(store, ALONE)
    assert places(store.clusters.of_deployment("shop")) == {"local": True, "app1": False}
    assert places(store.clusters.of("shop")) == {"app1": True, "local": False}
    store.deployments.finish(row, DeploymentState.SUCCEEDED)
    assert places(store.clusters.of("shop")) == {"local": True, "app1": False}
    store.clusters.forget("shop", "app1")
    assert store.clusters.of("shop") == ALONE


def test_down_lets_all_hosts_leave(store: Store) -> None:
    """A host that was lost may still have replicas."""
    deploy(store, cluster("app1", "app2"))
    store.clusters.forget("shop", "local")
    deploy(store, None, is_down=True)
    assert places(store.clusters.of("shop")) == {"local": True, "app1": False, "app2": False}
    assert store.clusters.settled("shop") == ALONE


def test_a_deployment_that_continues_another_takes_its_own_hosts(store: Store) -> None:
    """Those of the process that died leave."""
    deploy(store, cluster("app1"))
    store.clusters.forget("shop", "local")
    row = begin(store, cluster("app2"))
    row = store.deployments.adopt(row, begin_run(store, "shop").number, cluster("app3"))
    assert places(store.clusters.of_deployment("shop")) == {"app3": True, "app1": False, "app2": False}
    store.deployments.finish(row, DeploymentState.SUCCEEDED)
    assert places(store.clusters.of("shop")) == {"app3": True, "app1": False, "app2": False}


def test_a_drained_host_takes_no_replicas_until_it_is_resumed(store: Store) -> None:
    """Also over deployments. A forgotten one is not drained any more."""
    deploy(store, cluster("app1", "app2"))
    store.clusters.forget("shop", "local")
    assert store.clusters.drain("shop", "app1")
    assert not store.clusters.drain("shop", "app1")
    assert places(store.clusters.of("shop")) == {"app1": False, "app2": True}
    deploy(store, cluster("app1", "app3"))
    assert places(store.clusters.of("shop")) == {"app1": False, "app3": True, "app2": False}
    assert store.clusters.of("shop").taking == ("app3",)
    assert store.clusters.resume("shop", "app1")
    assert not store.clusters.resume("shop", "app1")
    assert places(store.clusters.of("shop")) == {"app1": True, "app3": True, "app2": False}
    store.clusters.drain("shop", "app2")
    store.clusters.forget("shop", "app2")
    assert store.clusters.drained("shop") == frozenset()


def test_a_drained_engine_under_another_name_stays_drained(store: Store) -> None:
    """From the begin of the deployment, and a new host of its former name takes replicas."""
    deploy(store, cluster("app1", "app2"))
    store.clusters.forget("shop", "local")
    store.clusters.drain("shop", "app1")
    wanted = ClusterSpec(hosts=(host("first", "ssh://root@app1:22"), host("app1", "ssh://new"), host("app2")))
    row = begin(store, wanted)
    assert places(store.clusters.of_deployment("shop")) == {"first": False, "app1": True, "app2": True}
    assert places(store.clusters.of("shop")) == {"app1": False, "app2": True, "app1-other": False}
    store.deployments.finish(row, DeploymentState.SUCCEEDED)
    assert places(store.clusters.of("shop")) == {"first": False, "app1": True, "app2": True}
    assert store.clusters.drained("shop") == {"first"}
    deploy(store, cluster("app1", "app2"), DeploymentState.FAILED)
    assert store.clusters.drained("shop") == {"first"}


def test_a_drained_host_that_leaves_is_not_drained_when_its_name_comes_back(store: Store) -> None:
    """It may be another machine. A name that gets another address in the file is the same host, and stays drained."""
    deploy(store, cluster("app1", "app2"))
    store.clusters.drain("shop", "app1")
    deploy(store, ClusterSpec(hosts=(host("app1", "ssh://moved"), host("app2"))))
    assert store.clusters.drained("shop") == {"app1"}
    deploy(store, cluster("app2"))
    assert store.clusters.drained("shop") == frozenset()
    store.clusters.drain("shop", "app1")
    row = begin(store, ClusterSpec(hosts=(host("app1", "ssh://new"), host("app2"))))
    assert places(store.clusters.of_deployment("shop"))["app1"]
    store.deployments.finish(row, DeploymentState.SUCCEEDED)
    assert places(store.clusters.of("shop"))["app1"]


def test_a_drained_host_that_becomes_the_local_engine_alone(store: Store) -> None:
    """It takes replicas, since nothing else does. Nodes of a Swarm stay drained until the pipeline leaves the Swarm."""
    deploy(store, ClusterSpec(hosts=(host("here", "local"), host("app2"))))
    store.clusters.drain("shop", "here")
    row = begin(store, ALONE)
    assert store.clusters.of_deployment("shop").taking == ("local",)
    store.deployments.finish(row, DeploymentState.SUCCEEDED)
    assert store.clusters.drained("shop") == frozenset()
    swarm = ClusterSpec(RuntimeName.SWARM)
    deploy(store, swarm)
    store.clusters.drain("shop", "node-2")
    deploy(store, swarm)
    assert store.clusters.of("shop").drained_nodes == ("node-2",)
    deploy(store, ALONE)
    assert store.clusters.drained("shop") == frozenset()


KILLED = """
import os, sqlite3, sys
from pathlib import Path
connect = sqlite3.connect

def traced(*args, **kwargs):
    connection = connect(*args, **kwargs)
    connection.set_trace_callback(lambda sql: os.kill(os.getpid(), 9) if sys.argv[2] in sql else None)
    return connection

from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from tests.unit.store.test_clusters import ALONE, begin, cluster
sqlite3.connect = traced
store = Store(Path(sys.argv[1]))
wanted = {"local": ALONE, "hosts": cluster("app2", "app3")}[sys.argv[3]]
if sys.argv[4] == "begin":
    begin(store, wanted)
else:
    row = store.deployments.open("shop")
    store.deployments.finish(row, DeploymentState(sys.argv[4]))
"""
SETTLED = cluster("app1", "app2")


@pytest.mark.parametrize("wanted", ["hosts", "local"])
@pytest.mark.parametrize(
    ("work", "statement"),
    [
        ("begin", "INSERT INTO deployments"),
        ("begin", "INSERT OR REPLACE INTO clusters"),
        ("succeeded", "UPDATE deployments"),
        ("succeeded", "INSERT INTO leaving_hosts"),
        ("succeeded", "INSERT OR REPLACE INTO clusters"),
        ("succeeded", "COMMIT"),
        ("rolled_back", "INSERT OR REPLACE INTO clusters"),
        ("rolled_back", "COMMIT"),
    ],
)
def test_a_process_that_is_killed_at_a_step_changes_nothing(
    wanted: str, work: str, statement: str, tmp_path: Path
) -> None:
    """The hosts, the deployment and the active release change together or not at all, and the next process goes on."""
    path, goal = tmp_path / "db", ALONE if wanted == "local" else cluster("app2", "app3")
    with Store(path) as store:
        deploy(store, SETTLED)
        store.clusters.forget("shop", "local")
        if work != "begin":
            begin(store, goal)
        before = _state(store)
    steps = [sys.executable, "-c", KILLED, str(path), statement, wanted, work]
    assert subprocess.run(steps, check=False).returncode == -signal.SIGKILL
    with Store(path) as store:
        assert _state(store) == before
        if work == "begin":
            begin(store, goal)
        row = store.deployments.open("shop")
        assert row is not None
        store.deployments.finish(row, DeploymentState.SUCCEEDED)
        assert store.clusters.settled("shop") == goal
        assert store.clusters.of("shop").taking == goal.taking


def _state(store: Store) -> object:
    clusters, active = store.clusters, store.releases.active("shop")
    return clusters.of("shop"), clusters.of_deployment("shop"), store.deployments.open("shop"), active
