"""The plan of a shifting deployment, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from stages.deploy.shift_plan import shift_steps
from tests.support.paths import ROOT

PIPELINE = """\
name: shop
deploy: {{target_group: web, strategy: {strategy}}}
balancer:
  target_groups: {{web: {{port: 8080}}}}
  load_balancers: {{edge: {{listeners: [{{port: 8000, default_action: {{forward: web}}}}]}}}}
"""
END = ["drain and stop the 2 previous containers", "move the new targets to web, and remove web-next"]


@pytest.mark.parametrize(
    ("strategy", "shares", "test"),
    [
        (
            "{type: canary, percent: 10, bake_time: 10m}",
            [
                "send 10 % of the requests to the new containers, for at least 10m",
                "send 100 % of the requests to the new containers",
            ],
            "",
        ),
        (
            "{type: canary, bake_time: 0s, mirror: {percent: 2.5, duration: 90s}}",
            [
                "copy 2.5 % of the GET and HEAD requests to the new containers, for at least 90s",
                "send 5 % of the requests to the new containers",
                "send 100 % of the requests to the new containers",
            ],
            "",
        ),
        (
            "{type: linear, step_percent: 50, step_bake_time: 90s, bake_time: 1h}",
            [
                "send 50 % of the requests to the new containers, for at least 90s",
                "send 100 % of the requests to the new containers, for at least 1h",
            ],
            "",
        ),
        (
            "{type: blue_green, bake_time: 0s, test_traffic: {port: 8081}}",
            ["send 100 % of the requests to the new containers"],
            ", except test traffic at port 8081",
        ),
        (
            "{type: all_at_once, test_traffic: {header: {name: X-Release, value: next}}}",
            ["send 100 % of the requests to the new containers"],
            ", except test traffic with X-Release: next",
        ),
    ],
)
def test_the_plan_of_each_strategy(strategy: str, shares: list[str], test: str, tmp_path: Path) -> None:
    """It names each step in its order, and the limits."""
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE.format(strategy=strategy))
    spec = ReleaseSpec.of(load(file), image_id="i", image_tag="t", sha="a" * 40, subject="")
    chosen = spec.services["web"].strategy
    assert chosen is not None
    steps, limits = shift_steps(spec.service("web"), chosen, 2, 3)
    assert steps == [
        f"declare the target group web-next beside web; it gets no requests{test}",
        "start 3 containers in web-next, and wait until all are healthy",
        *shares,
        *END,
    ]
    assert limits == (
        "healthy targets: the rollout keeps all 2 previous ones until the last step is over; containers: at most 5"
    )


def test_the_plan_in_the_documentation(tmp_path: Path) -> None:
    """docs/strategies.md shows the plan of its first example."""
    page = (ROOT / "docs" / "strategies.md").read_text()
    file = tmp_path / "pipeline.yaml"
    file.write_text(page.partition("```yaml\n")[2].partition("```")[0])
    spec = ReleaseSpec.of(load(file), image_id="i", image_tag="t", sha="a" * 40, subject="")
    chosen = spec.services["web"].strategy
    assert chosen is not None
    steps, limits = shift_steps(spec.service("web"), chosen, 3, 3)
    assert page.partition("```text\n")[2].partition("```")[0].splitlines() == [*steps, limits]
