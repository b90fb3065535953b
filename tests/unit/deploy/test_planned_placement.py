"""The hosts that a plan names, beside those that the runtime chooses."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.host import HostSpec
from pipeline.engine.placement import Placement
from pipeline.engine.runtime import ReplicaSpec
from stages.deploy.planned_placement import PlannedHost, PlannedPlacement
from tests.support.host_world import HostWorld

ZONES = {"one": "a", "two": "a", "three": "b"}
SPEC = ReplicaSpec(pipeline="shop", release=1, run=1, template="first", image="app", port=8080)


def cluster(taking: frozenset[str], placement: Placement = Placement.SPREAD) -> ClusterSpec:
    hosts = (ClusterHost(HostSpec(name, f"ssh://{name}", zone), name in taking) for name, zone in ZONES.items())
    return ClusterSpec(placement=placement, hosts=tuple(hosts))


@given(
    taking=st.frozensets(st.sampled_from([*ZONES]), min_size=1),
    placement=st.sampled_from([*Placement]),
    starts=st.lists(
        st.tuples(st.sampled_from(["first", "second"]), st.sampled_from([None, "a", "b", "c"])), max_size=8
    ),
)
def test_a_plan_names_the_hosts_that_the_runtime_chooses(
    taking: frozenset[str], placement: Placement, starts: list[tuple[str, str | None]]
) -> None:
    """Whatever runs, and whichever hosts take replicas."""
    runtime = HostWorld(ZONES).runtime(placement, taking=taking)
    runtime.prepare("shop")
    planned = PlannedPlacement(cluster(taking, placement), {})
    for number, (template, zone) in enumerate(starts):
        name = f"r{number}"
        runtime.start(replace(SPEC, name=name, template=template, zone=zone))
        host = next(each.host for each in runtime.list("shop") if each.name == name)
        assert planned.place(name, template, zone) == PlannedHost(host, ZONES[host])
    runtime.close()


def test_what_is_removed_makes_room() -> None:
    """As when one replica after the other is replaced."""
    planned = PlannedPlacement(cluster(frozenset(ZONES)), {"old": ("one", "first")})
    assert planned.place("r1", "first", None) == ("three", "b")
    planned.remove("old")
    assert planned.place("r2", "first", None) == ("one", "a")


def test_lost_hosts_get_nothing() -> None:
    """None is left if all are lost."""
    planned = PlannedPlacement(cluster(frozenset(ZONES)), {}, lost=["one", "two"])
    assert planned.place("r1", "first", "a") == ("three", "b")
    assert PlannedPlacement(cluster(frozenset(ZONES)), {}, lost=[*ZONES]).place("r1", "first", None) is None
