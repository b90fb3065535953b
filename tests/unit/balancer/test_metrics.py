"""The metrics: CloudWatch's counts in Prometheus' format."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.access import AccessRecord
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import FlowCount, FlowCounts
from pipeline.balancer.haproxy.access_log import LogReader
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.balancer.model import Declaration, Target, TargetHealth, TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.balancer.registry import Registry
from pipeline.balancer.telemetry.counters import Counters
from pipeline.balancer.telemetry.families import FAMILIES
from pipeline.balancer.telemetry.metrics import Metrics
from pipeline.balancer.telemetry.traffic import Traffic
from tests.support.access_log import OWN, REFUSED, raw, record

HERE = (("load_balancer", "app/edge/shop"),)
THERE = (*HERE, ("target_group", "shop.web"))
_FAILED = {"target_status": "-", "response": "-1", "transfer": "-1"}
_DECLARED: dict[str, Any] = {
    "target_groups": {"web": {"port": 80}, "spare": {"port": 80}},
    "load_balancers": {"edge": {"listeners": [{"port": 8080, "default_action": {"forward": "web"}}]}},
}


class Still(Balancer):
    """A balancer with fixed target health and no HAProxy."""

    states: tuple[TargetState, ...] = ()

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, HAProxyPlane(directory))

    declared_now = Registry().declare("shop", Declaration.model_validate(_DECLARED))

    def registry(self) -> Registry:
        return self.declared_now

    def target_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        return tuple(
            TargetHealth(target=Target(id=f"web-{n}", address=f"10.1.0.{n}", port=8080), state=state, since=_now())
            for n, state in enumerate(self.states if group == "web" else (), start=1)
        )


class Zoned(Still):
    """A balancer whose targets are in a zone, except for the last one."""

    def target_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        *placed, last = super().target_health(owner, group) or (None,)
        zoned = (h.model_copy(update={"target": h.target.model_copy(update={"zone": "zone-a"})}) for h in placed if h)
        return (*zoned, last) if last else ()


class Connected(Still):
    """A balancer with a network load balancer, whose targets have connections."""

    declared_now = Registry().declare(
        "shop",
        Declaration.model_validate(
            {
                "target_groups": {"web": {"protocol": "TCP", "port": 80}},
                "load_balancers": {
                    "edge": {
                        "type": "network",
                        "listeners": [{"protocol": "TCP", "port": 8080, "default_action": {"forward": "web"}}],
                    }
                },
            }
        ),
    )

    def target_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        found = super().target_health(owner, group)
        return tuple(health.model_copy(update={"in_flight": 2}) for health in found)


class Inspecting(Still):
    """A gateway load balancer, whose plane has counted."""

    declared_now = Registry().declare(
        "shop",
        Declaration.model_validate(
            {
                "target_groups": {"web": {"protocol": "GENEVE"}},
                "load_balancers": {
                    "inspection": {"type": "gateway", "listeners": [{"default_action": {"forward": "web"}}]}
                },
            }
        ),
    )

    def flow_counts(self) -> tuple[FlowCounts, ...]:
        counts: dict[FlowCount, int] = {"active": 2, "new": 7, "bytes": 9000, "dropped_too_large": 3}
        return (
            FlowCounts("gateway", "shop", "inspection", 0, {**counts, "dropped_no_network": 1}),
            FlowCounts("gateway", "", "", 0, {"dropped_unknown_flow": 4}),
            FlowCounts("7 shop.web BACKEND", "shop", "web", None, {"client_resets": 0}),
        )


class Holding(Still):
    """A balancer with a group that may be scaled to zero, for which requests wait."""

    declared_now = Registry().declare(
        "shop",
        Declaration.model_validate({**_DECLARED, "target_groups": {"web": {"port": 80, "hold_time": "1m"}}}),
    )

    def held_requests(self, owner: str, group: str) -> int:
        return 3


def test_requests_that_are_held(tmp_path: Path) -> None:
    """They are counted for groups that hold requests, and for no others."""
    assert 'penstock_held_requests{target_group="shop.web"} 3.0\n' in Metrics(Holding(tmp_path)).text()
    assert "penstock_held_requests" not in Metrics(Still(tmp_path)).text()


def test_metrics_of_a_network_load_balancer(tmp_path: Path) -> None:
    """A network load balancer has the names of `AWS/NetworkELB`, and none of an application load balancer."""
    balancer = Connected(tmp_path)
    balancer.states = (TargetState.HEALTHY, TargetState.UNHEALTHY)
    lines = [line for line in Metrics(balancer).text().splitlines() if not line.startswith(("#", "penstock"))]
    net, group = 'load_balancer="net/edge/shop"', 'target_group="shop.web"'
    assert lines == [
        f'aws_networkelb_active_flow_count{{{net},target="web-1",{group}}} 2.0',
        f'aws_networkelb_active_flow_count{{{net},target="web-2",{group}}} 2.0',
        f"aws_networkelb_healthy_host_count{{{net},{group}}} 1.0",
        f"aws_networkelb_un_healthy_host_count{{{net},{group}}} 1.0",
    ]


def test_metrics_of_a_gateway_load_balancer(tmp_path: Path) -> None:
    """It has the names of `AWS/GatewayELB`. Its drops have a reason. Some are those of no load balancer."""
    balancer = Inspecting(tmp_path)
    balancer.states = (TargetState.HEALTHY, TargetState.UNHEALTHY)
    lines = [line for line in Metrics(balancer).text().splitlines() if not line.startswith(("#", "penstock_access"))]
    gateway, group = 'load_balancer="gateway/inspection/shop"', 'target_group="shop.web"'
    assert lines == [
        f"aws_gatewayelb_active_flow_count{{{gateway}}} 2.0",
        f"aws_gatewayelb_new_flow_count_total{{{gateway}}} 7.0",
        f"aws_gatewayelb_processed_bytes_total{{{gateway}}} 9000.0",
        f"aws_gatewayelb_healthy_host_count{{{gateway},{group}}} 1.0",
        f"aws_gatewayelb_un_healthy_host_count{{{gateway},{group}}} 1.0",
        f'penstock_gateway_dropped_packets_total{{{gateway},reason="no_network"}} 1.0',
        f'penstock_gateway_dropped_packets_total{{{gateway},reason="too_large"}} 3.0',
        'penstock_gateway_dropped_packets_total{load_balancer="",reason="unknown_flow"} 4.0',
    ]


def _now() -> datetime:
    return datetime.now(UTC)


def counted(*lines: bytes) -> Counters:
    counters = Counters()
    for found in LogReader().records(lines):
        counters.add(found)
    return counters


def values(counters: Counters) -> dict[str, float]:
    """Return every counter that is not zero: CloudWatch's name → value."""
    return {name: value for name in FAMILIES for _, _, value in counters.samples(name) if name != "ProcessedBytes"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RequestCount", "aws_applicationelb_request_count_total"),
        ("HTTPCode_ELB_5XX_Count", "aws_applicationelb_http_code_elb_5xx_count_total"),
        ("HTTPCode_Target_2XX_Count", "aws_applicationelb_http_code_target_2xx_count_total"),
        ("HTTP_Fixed_Response_Count", "aws_applicationelb_http_fixed_response_count_total"),
        ("TargetResponseTime", "aws_applicationelb_target_response_time_seconds"),
        ("UnHealthyHostCount", "aws_applicationelb_un_healthy_host_count"),
    ],
)
def test_names(name: str, expected: str) -> None:
    """Every metric's name follows one rule, and its help has CloudWatch's name."""
    assert FAMILIES[name].name == expected
    assert FAMILIES[name].help.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"RequestCount": 1, "HTTPCode_Target_2XX_Count": 1}),
        ({"status": "503", "target_status": "503"}, {"RequestCount": 1, "HTTPCode_Target_5XX_Count": 1}),
        ({"status": "101", "target_status": "101"}, {"RequestCount": 1}),
        ({"retries": "+2"}, {"RequestCount": 1, "HTTPCode_Target_2XX_Count": 1, "TargetConnectionErrorCount": 2}),
        (
            {**_FAILED, "status": "502", "termination": "SH--"},
            {"RequestCount": 1, "HTTPCode_ELB_5XX_Count": 1, "HTTPCode_ELB_502_Count": 1},
        ),
        (
            {**_FAILED, "status": "503", "termination": "SC--", "retries": "3"},
            {
                "RequestCount": 1,
                "HTTPCode_ELB_5XX_Count": 1,
                "HTTPCode_ELB_503_Count": 1,
                "TargetConnectionErrorCount": 4,
            },
        ),
        (
            {**_FAILED, "status": "-1", "termination": "CH--"},
            {"RequestCount": 1, "HTTPCode_ELB_4XX_Count": 1},
        ),
        (
            {**OWN, "status": "503", "termination": "SC--"},
            {"HTTPCode_ELB_5XX_Count": 1, "HTTPCode_ELB_503_Count": 1},
        ),
        ({**OWN, "status": "200", "backend": "listener.8080.1"}, {"HTTP_Fixed_Response_Count": 1}),
        (
            {**OWN, "status": "301", "backend": "listener.8080.1"},
            {"HTTP_Redirect_Count": 1, "HTTPCode_ELB_3XX_Count": 1},
        ),
        ({**REFUSED, "status": "400", "termination": "PR--"}, {"HTTPCode_ELB_4XX_Count": 1}),
        (
            {"termination": "--NI"},
            {"RequestCount": 1, "HTTPCode_Target_2XX_Count": 1, "NonStickyRequestCount": 1},
        ),
        ({"termination": "--VN"}, {"RequestCount": 1, "HTTPCode_Target_2XX_Count": 1}),
    ],
)
def test_what_a_request_counts_as(fields: dict[str, str], expected: dict[str, float]) -> None:
    """A request counts as in CloudWatch: without a target it is not in RequestCount."""
    assert values(counted(raw(fields))) == expected


def test_labels() -> None:
    """Metrics of the load balancer have its name, and metrics of a target also its group."""
    counts = counted(raw(), raw(), raw(OWN, status="404", backend="listener.8080.1"), raw(backend="billing.api"))
    assert list(counts.samples("RequestCount")) == [
        ("", THERE, 2),
        ("", (*HERE, ("target_group", "billing.api")), 1),
    ]
    assert list(counts.samples("HTTPCode_ELB_4XX_Count")) == [("", HERE, 1)]
    assert list(counts.samples("ProcessedBytes")) == [("", HERE, 4 * (48 + 51))]


def test_response_times() -> None:
    """The histogram adds up and excludes requests without a target's response."""
    counts = counted(*(raw(response=str(ms)) for ms in (0, 1, 2, 40, 41, 70_000)), raw(_FAILED, status="502"))
    samples = {(suffix, dict(where).get("le")): value for suffix, where, value in counts.time_samples()}
    assert samples["_bucket", "0.001"] == 2
    assert samples["_bucket", "0.002"] == 3
    assert samples["_bucket", "0.04"] == 4
    assert samples["_bucket", "0.055"] == 5
    assert samples["_bucket", "60"] == 5
    assert samples["_bucket", "+Inf"] == samples["_count", None] == 6
    assert samples["_sum", None] == pytest.approx(70.084)


def test_buckets_are_fine_enough() -> None:
    """Buckets go from 1 ms to 1 min, and from 3 ms on a percentile is off by 40 % at most."""
    samples = counted(raw()).time_samples()
    bounds = [float(dict(where)["le"]) for suffix, where, _ in samples if suffix == "_bucket"][:-1]
    assert (bounds[0], bounds[-1]) == (0.001, 60)
    assert bounds == sorted(set(bounds))
    assert all(b <= 1.4001 * a for a, b in pairwise(bounds) if a >= 0.003)


def test_exposition(tmp_path: Path) -> None:
    """Help and type come once, before the first sample, and a family without samples is left out."""
    (tmp_path / "access.log").write_bytes(raw() + raw(backend="billing.api"))
    lines = Metrics(open_balancer(tmp_path)).text().splitlines()
    name = "aws_applicationelb_request_count_total"
    assert [line for line in lines if name in line] == [
        f"# HELP {name} RequestCount: requests for which a target was chosen.",
        f"# TYPE {name} counter",
        f'{name}{{load_balancer="app/edge/shop",target_group="shop.web"}} 1.0',
        f'{name}{{load_balancer="app/edge/shop",target_group="billing.api"}} 1.0',
    ]
    assert not any("http_redirect_count" in line or "_created" in line for line in lines)


def test_text(tmp_path: Path) -> None:
    """Every line is valid, every metric has its type first, and each call continues from the previous one."""
    log, balancer = tmp_path / "access.log", Still(tmp_path)
    balancer.states = (TargetState.HEALTHY, TargetState.UNHEALTHY, TargetState.DRAINING)
    metrics = Metrics(balancer)
    log.write_bytes(raw(target="10.1.0.1:8080") + raw(target="10.1.0.9:8080") + b"torn\tline\n")
    first = metrics.text().splitlines()
    assert 'aws_applicationelb_healthy_host_count{load_balancer="app/edge/shop",target_group="shop.web"} 1.0' in first
    assert (
        'aws_applicationelb_un_healthy_host_count{load_balancer="app/edge/shop",target_group="shop.web"} 1.0' in first
    )
    assert 'aws_applicationelb_healthy_host_count{target_group="shop.spare"} 0.0' in first
    assert "penstock_access_log_unreadable_lines_total 1.0" in first
    assert [line for line in first if line.startswith("aws_applicationelb_request_count_per_target_total")] == [
        'aws_applicationelb_request_count_per_target_total{load_balancer="app/edge/shop",target="web-1",'
        'target_group="shop.web"} 1.0'
    ]
    typed = set()
    for line in first:
        if found := re.fullmatch(r"# TYPE (\w+) (counter|gauge|histogram)", line):
            typed.add(found[1])
        elif not line.startswith("# HELP "):
            sample = re.fullmatch(r'(\w+)(\{\w+="[^"\n]*"(,\w+="[^"\n]*")*\})? [0-9.e+]+', line)
            assert sample is not None, line
            assert re.sub(r"_(bucket|sum|count)$", "", sample[1]) in typed or sample[1] in typed
    with log.open("ab") as file:
        file.write(raw())
    total = 'aws_applicationelb_request_count_total{load_balancer="app/edge/shop",target_group="shop.web"} '
    assert f"{total}2.0" in first
    assert f"{total}3.0" in metrics.text().splitlines()


def test_hosts_of_every_load_balancer(tmp_path: Path) -> None:
    """A group of several load balancers is counted for each, by the listener's owner."""
    shop = {
        **_DECLARED,
        "load_balancers": {
            **_DECLARED["load_balancers"],
            "back": {"listeners": [{"port": 8081, "default_action": {"forward": "web"}}]},
        },
    }
    joined = {"priority": 1, "conditions": [{"path_pattern": ["/api"]}], "action": {"forward": "web"}}
    billing = {
        "target_groups": {"web": {"port": 80}},
        "load_balancers": {"its": {"listeners": [{"port": 8080, "rules": [joined]}]}},
    }
    balancer = Still(tmp_path)
    for owner, declared in {"shop": shop, "billing": billing}.items():
        balancer.declared_now = balancer.registry().declare(owner, Declaration.model_validate(declared))
    prefix = "aws_applicationelb_healthy_host_count{"
    assert [line for line in Metrics(balancer).text().splitlines() if line.startswith(prefix)] == [
        f'{prefix}load_balancer="app/edge/shop",target_group="billing.web"}} 0.0',
        f'{prefix}target_group="shop.spare"}} 0.0',
        f'{prefix}load_balancer="app/back/shop",target_group="shop.web"}} 0.0',
        f'{prefix}load_balancer="app/edge/shop",target_group="shop.web"}} 0.0',
    ]


def test_hosts_by_zone(tmp_path: Path) -> None:
    """The targets of a group in zones are counted for each zone, and those in none without the label."""
    balancer = Zoned(tmp_path)
    balancer.states = (TargetState.HEALTHY, TargetState.UNHEALTHY, TargetState.HEALTHY)
    prefix = "aws_applicationelb_healthy_host_count{"
    where = 'load_balancer="app/edge/shop",target_group="shop.web"} 1.0'
    lines = Metrics(balancer).text().splitlines()
    assert [line for line in lines if line.startswith(prefix) and "spare" not in line] == [
        f'{prefix}availability_zone="zone-a",{where}',
        f"{prefix}{where}",
    ]


def test_counters_survive_the_emptying_of_the_log(tmp_path: Path) -> None:
    """Counters only grow when the log is truncated."""
    log, metrics = tmp_path / "access.log", Metrics(Still(tmp_path))
    log.write_bytes(b"".join(raw(uri=f"/{n}") for n in range(3)))
    assert re.search(r"_request_count_total\{.*\} 3\.0\n", metrics.text())
    with log.open("ab") as file:
        file.write(raw(uri="/last"))
    log.replace(tmp_path / "access.log.1")
    log.write_bytes(raw(uri="/first"))
    assert re.search(r"_request_count_total\{.*\} 5\.0\n", metrics.text())


@pytest.mark.timing
def test_a_long_log_costs_seconds() -> None:
    """75,000 lines take less than four seconds of processor time."""
    lines = [raw(client=f"192.0.2.7:{n}") for n in range(1000)] * 75
    before = time.process_time()
    counts = counted(*lines)
    assert time.process_time() - before < 4
    assert values(counts)["RequestCount"] == 75_000


def at(moment: datetime, **fields: str) -> AccessRecord:
    """Return a request that came at this time and was answered at once."""
    steps = dict.fromkeys(("handshake", "idle", "request", "queue", "connect", "response", "transfer", "total"), "0")
    return record(
        **{**steps, "accepted_seconds": str(int(moment.timestamp())), "accepted_milliseconds": "000", **fields}
    )


def test_traffic() -> None:
    """Traffic counts requests of the window by target, with 5XX from the target or the load balancer."""
    now = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
    begin = now - timedelta(seconds=10)
    newest_first = [
        at(now),
        at(now, status="500", target_status="500"),
        # It came long ago, and was given up just now.
        at(
            now - timedelta(minutes=1),
            status="504",
            target_status="-",
            response="-1",
            transfer="-1",
            total="60000",
            termination="sH--",
        ),
        at(begin, target="10.1.0.4:8080"),
        at(begin - timedelta(seconds=1)),
    ]
    traffic = Traffic.since(begin, now, newest_first)
    assert traffic.rate("shop.web", "10.1.0.3:8080") == 0.3
    assert traffic.errors["shop.web", "10.1.0.3:8080"] == 2
    assert traffic.rate("shop.web", "10.1.0.4:8080") == 0.1
    assert traffic.rate("shop.web", "10.1.0.5:8080") == 0


def test_records_from_before_the_clock_was_set_back_do_not_count() -> None:
    """Their times are in the future."""
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    newest_first = [at(now), at(now + timedelta(hours=1)), at(now + timedelta(minutes=59))]
    traffic = Traffic.since(now - timedelta(seconds=10), now, newest_first)
    assert traffic.rate("shop.web", "10.1.0.3:8080") == 0.1
