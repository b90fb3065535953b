"""The counts of flows: from HAProxy's table, and summed over its workers."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.balancer.data_plane import FlowCounts
from pipeline.balancer.haproxy.flow_counts import flow_counts
from pipeline.balancer.model import Declaration
from pipeline.balancer.registry import Registry
from pipeline.balancer.telemetry.families import NETWORK_FAMILIES
from pipeline.balancer.telemetry.flow_totals import FlowTotals

_FORWARD = {"default_action": {"forward": "db"}}
_TLS = {"protocol": "TLS", "certificates": [{"certificate": "a.pem"}], "default_action": {"forward": "safe"}}
_LISTENERS: list[dict[str, Any]] = [
    {"protocol": "TCP", "port": 1, **_FORWARD},
    {"protocol": "TCP", "port": 2, **_FORWARD},
    {"port": 3, **_TLS},
]
REGISTRY = Registry().declare(
    "shop",
    Declaration.model_validate(
        {
            "target_groups": {"db": {"protocol": "TCP", "port": 80}, "safe": {"protocol": "TLS", "port": 80}},
            "load_balancers": {"edge": {"type": "network", "listeners": _LISTENERS}},
        }
    ),
)
USERS = {"shop.db": {"net/edge/shop"}, "shop.safe": {"net/edge/shop"}}
_COLUMNS = (
    *("pxname", "svname", "mode", "scur", "stot", "bin", "bout", "cli_abrt", "srv_abrt", "lbtot"),
    *("ssl_failed_handshake", "-"),
)


def table(*rows: str) -> list[str]:
    """Return HAProxy's table with these rows."""
    return ["# " + ",".join(_COLUMNS), *(",".join([*row.split(), ""]) for row in rows), ""]


def values(totals: FlowTotals) -> dict[str, float]:
    """Return every metric that is not zero."""
    found = {name: list(totals.samples(name, REGISTRY, USERS)) for name in NETWORK_FAMILIES}
    return {name: sum(value for _, _, value in samples) for name, samples in found.items() if samples}


def counted(*rows: str, source: str = "7") -> list[FlowCounts]:
    return list(flow_counts(source, table(*rows)))


def test_the_counts_of_haproxy() -> None:
    """Each metric comes from its column. What is not of a network load balancer's listener or group is left out."""
    totals = FlowTotals()
    totals.update(
        counted(
            "shop.edge.1 FRONTEND tcp 2 5 10 20 0 0 0 0",
            "shop.edge.2 FRONTEND tcp 1 1 1 1 0 0 0 0",
            "shop.edge.3 FRONTEND tcp 1 3 4 4 0 0 0 6",
            "shop.front.80 FRONTEND http 9 9 9 9 9 9 9 9",
            "relay:1 BACKEND tcp 9 9 9 9 9 9 9 9",
            "shop.db a tcp 1 5 10 20 2 1 5 0",
            "shop.db a:open tcp 1 5 10 20 2 1 4 0",
            "shop.db BACKEND tcp 1 5 10 20 2 1 5 0",
            "shop.db.open BACKEND tcp 0 3 0 0 1 0 3 0",
            "shop.safe BACKEND tcp 1 3 4 4 0 0 3 7",
        )
    )
    assert values(totals) == {
        "ActiveFlowCount": 4,
        "ActiveFlowCount_TCP": 3,
        "ActiveFlowCount_TLS": 1,
        "NewFlowCount": 9,
        "NewFlowCount_TCP": 6,
        "NewFlowCount_TLS": 3,
        "ProcessedBytes": 40,
        "ProcessedBytes_TCP": 32,
        "ProcessedBytes_TLS": 8,
        "TCP_Client_Reset_Count": 3,
        "TCP_Target_Reset_Count": 1,
        "ClientTLSNegotiationErrorCount": 6,
        "TargetTLSNegotiationErrorCount": 7,
        "UnhealthyRoutingFlowCount": 7,
    }


@pytest.mark.parametrize("replaced", ["7", "8"])
def test_counters_never_shrink(replaced: str) -> None:
    """Counts go on when HAProxy is replaced, also by one that gets the same process id. Open flows are those of now."""
    totals = FlowTotals()
    totals.update(counted("shop.edge.1 FRONTEND tcp 2 5 10 20 0 0 0 0"))
    totals.update([])
    assert values(totals)["NewFlowCount_TCP"] == 5
    assert values(totals)["ActiveFlowCount_TCP"] == 0
    totals.update(counted("shop.edge.1 FRONTEND tcp 1 1 1 1 0 0 0 0", source=replaced))
    assert values(totals)["NewFlowCount_TCP"] == 6
    assert values(totals)["ProcessedBytes"] == 32
    assert values(totals)["ActiveFlowCount_TCP"] == 1


def test_a_replaced_worker_counts_with_its_successor() -> None:
    """While a replaced worker has flows, both workers' counts are added."""
    totals = FlowTotals()
    both = ["shop.edge.1 FRONTEND tcp 1 2 0 0 0 0 0 0"]
    for _ in range(2):
        totals.update([*counted(*both), *counted(*both, source="8")])
    assert (values(totals)["NewFlowCount"], values(totals)["ActiveFlowCount"]) == (4, 2)


def test_a_removed_target_takes_no_count_away() -> None:
    """The counts of a target that was removed stay, and those of its group are not counted again."""
    group = "shop.db BACKEND tcp 1 5 10 20 2 1 5 0"
    one, other = "shop.db a:open tcp 0 5 0 0 0 0 5 0", "shop.db b:open tcp 0 3 0 0 0 0 3 0"
    totals = FlowTotals()
    totals.update(counted(one, other, group))
    totals.update(counted(other, group))
    totals.update(counted("shop.db a:open tcp 0 1 0 0 0 0 1 0", other, group))
    assert values(totals) == {
        "TCP_Client_Reset_Count": 2,
        "TCP_Target_Reset_Count": 1,
        "UnhealthyRoutingFlowCount": 9,
    }


def test_a_group_may_be_named_as_a_backend_ends() -> None:
    """The group `open` is no fail-open backend."""
    assert [one.counts.get("unhealthy_routing") for one in counted("shop.open BACKEND tcp 0 5 0 0 0 0 5 0")] == [None]


def test_udp_and_tcp_of_one_port() -> None:
    """Counts of a plane for UDP belong to the listener of that port, under the name of UDP."""
    totals = FlowTotals()
    totals.update([FlowCounts("kernel", "shop", "edge", 1, {"new": 3}, transport="udp")])
    assert values(totals) == {"NewFlowCount": 3, "NewFlowCount_UDP": 3}
