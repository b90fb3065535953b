"""`deploy.hosts` as a cluster."""

from __future__ import annotations

import pytest

from pipeline.config.release import ReleaseSpec
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.host import HostSpec
from pipeline.engine.placement import Placement
from tests.support.pipeline_yaml import GOOD
from tests.unit.config.loads import Loads

HOSTS = """\
  replicas: 3
  placement: pack
  hosts:
    - {name: app1, docker: "ssh://deploy@app1.example.com:2222", zone: a, address: 10.0.0.11}
    - {name: app2, docker: ssh://app2}
    - {name: here, docker: local, zone: b}"""


def test_the_hosts_of_a_file_are_a_cluster(loads: Loads) -> None:
    """An address that is left out is empty, except for this machine: it is looked up when a deployment begins."""
    cluster = loads(GOOD.replace("  replicas: 3", HOSTS)).pipeline.deploy.cluster
    assert cluster.placement is Placement.PACK
    assert cluster.specs == (
        HostSpec("app1", "ssh://deploy@app1.example.com:2222", "a", "10.0.0.11"),
        HostSpec("app2", "ssh://app2", "local", ""),
        HostSpec("here", "local", "b", "127.0.0.1"),
    )
    assert cluster.taking == ("app1", "app2", "here")


def test_a_file_without_hosts_is_the_local_engine_alone(loads: Loads) -> None:
    """Also one that says so."""
    assert loads(GOOD).pipeline.deploy.cluster.is_local
    assert loads(GOOD.replace("  replicas: 3", "  replicas: 3\n  runtime: docker")).pipeline.deploy.cluster.is_local


def test_hosts_are_not_part_of_a_release(loads: Loads) -> None:
    """So another host does not replace the containers of all others."""
    plain, spread = (
        ReleaseSpec.of(loads(text), image_id="1", image_tag="1", sha="a" * 40, subject="")
        for text in (GOOD, GOOD.replace("  replicas: 3", HOSTS))
    )
    assert plain.model_dump_json() == spread.model_dump_json()


@pytest.mark.parametrize(
    ("stored", "is_same"),
    [
        (HostSpec("app1", "ssh://app1", "a", "10.0.0.11"), True),
        (HostSpec("app2", "ssh://app1", "a", "10.0.0.11"), False),
        (HostSpec("app1", "ssh://root@app1", "a", "10.0.0.11"), False),
        (HostSpec("app1", "ssh://app1", "b", "10.0.0.11"), False),
    ],
)
def test_a_cluster_is_compared_without_addresses_that_are_left_out(stored: HostSpec, *, is_same: bool) -> None:
    """The stored one has the address that was found."""
    declared = ClusterSpec(hosts=(ClusterHost(HostSpec("app1", "ssh://app1", "a", "")),))
    assert ClusterSpec(hosts=(ClusterHost(stored),)).is_declared_by(declared) is is_same
    assert not ClusterSpec().is_declared_by(declared)
    assert not declared.is_declared_by(ClusterSpec())
    assert not ClusterSpec(placement=Placement.PACK, hosts=(ClusterHost(stored),)).is_declared_by(declared)


def test_an_address_that_is_declared_is_compared() -> None:
    """Another one needs a deployment."""
    hosts = [ClusterSpec(hosts=(ClusterHost(HostSpec("app1", "ssh://app1", "a", f"10.0.0.{n}")),)) for n in (1, 2)]
    assert hosts[0].is_declared_by(hosts[0])
    assert not hosts[0].is_declared_by(hosts[1])


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("ssh://deploy@app1", "ssh://root@APP1:22/var/run/docker.sock", True),
        ("ssh://app1", "ssh://app1:2222", False),
        ("ssh://app1", "ssh://app1/run/other.sock", False),
        ("ssh://app1", "ssh://app2", False),
        ("local", "local", True),
        ("local", "ssh://local", False),
    ],
)
def test_the_engine_of_a_host(one: str, other: str, *, is_same: bool) -> None:
    """The user, and whether the usual port and socket are written, make no other engine."""
    assert (HostSpec("a", one).engine == HostSpec("b", other).engine) is is_same
