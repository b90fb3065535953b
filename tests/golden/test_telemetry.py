"""Entries, metrics and rates of a recorded access log."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.balancer.model import TargetHealth, TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.balancer.targets import TargetPhase
from pipeline.balancer.telemetry.metrics import Metrics
from pipeline.balancer.telemetry.traffic import Traffic
from pipeline.cli.program import cli
from tests.golden.golden_file import Golden

_STATES = {
    TargetPhase.INITIAL: TargetState.INITIAL,
    TargetPhase.IN_SERVICE: TargetState.HEALTHY,
    TargetPhase.DRAINING: TargetState.DRAINING,
}


class _Still(Balancer):
    """A balancer without an HAProxy, whose targets are as the registry has them."""

    def target_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        return tuple(
            TargetHealth(target=registration.target, state=_STATES[registration.phase], since=registration.since)
            for registration in self.registry().registrations(owner, group)
        )


# The latest requests are of every kind.
@pytest.mark.parametrize(
    ("options", "name"), [(("-n", "1000"), "access-log.txt"), (("-n", "90", "--json"), "access-log.jsonl")]
)
def test_the_access_log_is_the_same(options: tuple[str, ...], name: str, recorded_home: Path, golden: Golden) -> None:
    """`pipeline balancer log` prints the golden entries, in ELB's form and as JSON."""
    done = CliRunner().invoke(cli, ["balancer", "log", *options])
    assert done.exit_code == 0, done.output
    golden(f"telemetry/{name}", done.output)


def test_the_metrics_are_the_same(recorded_home: Path, golden: Golden) -> None:
    """The log and the targets give the golden text for Prometheus."""
    golden(
        "telemetry/metrics.txt",
        Metrics(_Still(recorded_home / "balancer", HAProxyPlane(recorded_home / "balancer"))).text(),
    )


@pytest.mark.parametrize("seconds", [10, 600])
def test_the_rates_are_the_same(seconds: int, recorded_home: Path, golden: Golden) -> None:
    """Requests and errors of the last while before the end of the log are the golden ones."""
    balancer = open_balancer(recorded_home / "balancer")
    end = next(balancer.access_log().newest_first()).ended
    traffic = Traffic.since(end - timedelta(seconds=seconds), end, balancer.access_log().newest_first())
    found = {
        f"{group} {target}": {
            "requests": traffic.requests[group, target],
            "errors": traffic.errors[group, target],
            "rate": round(traffic.rate(group, target), 6),
        }
        for group, target in sorted(traffic.requests)
    }
    golden(f"telemetry/rates-{seconds}-seconds.json", json.dumps(found, indent=1) + "\n")
