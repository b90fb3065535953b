"""What alarms and auto scaling add to a request: nothing, because HAProxy's configuration is the same."""

from __future__ import annotations

import pytest

from pipeline.balancer.haproxy.configuration import render
from pipeline.balancer.registry import Registry
from pipeline.balancer.wanted import plane_config
from tests.unit.config.loads import Loads

FILE = """\
name: shop
deploy: {target_group: web, replicas: 3, strategy: canary%s}
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""


def files(loads: Loads, more: str) -> object:
    """Return HAProxy's files for a pipeline with these keys in `deploy`."""
    spec = loads(FILE % more).pipeline.balancer
    assert spec is not None
    return render(plane_config(Registry().declare("shop", spec)))


@pytest.mark.parametrize(
    "watched",
    [
        ", rollback_on: [{metric: http_5xx_ratio, above: 1%}, {metric: response_time, worse_than_previous: true}]",
        ", scaling: {min: 3, max: 9, target: {requests_per_target: 100}}",
        ", scaling: {min: 3, max: 9, target: {response_time_p90: 200ms}}",
    ],
)
def test_haproxy_has_the_same_files(loads: Loads, watched: str) -> None:
    """The metrics come from the access log, which is written anyway."""
    assert files(loads, watched) == files(loads, "")
