"""The examples and the names of docs/strategies.md are valid."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.alarms.rollback_on import RollbackOn
from pipeline.balancer.haproxy.naming import MAX_HELD
from pipeline.balancer.model import ApplicationTargetGroup
from pipeline.base.quantity import format_duration
from pipeline.config.load import load
from pipeline.config.mirror import Mirror
from pipeline.config.release import ReleaseSpec
from pipeline.config.service import ServiceSettings
from pipeline.scaling.policy import ScalingPolicy
from stages.deploy.mirror_client import HEADER
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/strategies.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(rollback_on:.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_each_example_is_valid(text: str) -> None:
    """Each section of the page is read, with a condition of each line that has one."""
    found = RollbackOn.model_validate(YAML(typ="safe").load(text)["rollback_on"])
    assert len(found.conditions) == len(re.findall(r"^ *- ", text, re.MULTILINE))


def test_the_defaults_are_those_of_the_page() -> None:
    """The first example shows the defaults of the section."""
    found = [RollbackOn.model_validate(YAML(typ="safe").load(text)["rollback_on"]) for text in EXAMPLES]
    assert len(found) == 2
    shown = [(each.confidence, each.min_requests, each.insufficient_data, each.warm_up) for each in found]
    assert shown == [(0.99, 20, "promote", timedelta(seconds=10))] * 2


def settings(strategy: Any) -> ServiceSettings:
    """Return the settings of a service with a strategy."""
    return ServiceSettings.model_validate({"target_group": "web", "strategy": strategy})


def test_the_whole_file_is_valid(tmp_path: Path) -> None:
    """The first example is a whole file, with the steps that the table tells."""
    (tmp_path / "pipeline.yaml").write_text(re.findall(r"```yaml\n(name: .*?)```", PAGE, re.DOTALL)[0])
    found = load(tmp_path / "pipeline.yaml", {}, {}).pipeline.deploy.strategy
    assert found is not None
    assert [(step.percent, step.bake_time.total_seconds()) for step in found.steps()] == [(10, 300), (100, 0)]


def test_each_strategy_is_valid() -> None:
    """Each short example is read."""
    texts = re.findall(r"```yaml\n(strategy: .*?)```", PAGE, re.DOTALL)
    assert [settings(YAML(typ="safe").load(text)["strategy"]).strategy is not None for text in texts] == [True] * 3


def test_the_table_tells_the_defaults() -> None:
    """Each strategy has the keys and the defaults of its row."""
    table = PAGE[: PAGE.index("## Names of ECS and CodeDeploy")]
    found = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*)\|$", table, re.MULTILINE))
    assert list(found) == ["rolling", "blue_green", "canary", "linear", "all_at_once"]
    for name, keys in found.items():
        written = YAML(typ="safe").load("{" + keys.replace("`", "") + "}")
        assert settings({"type": name, **written}) == settings(name)
        strategy = settings(name).strategy
        assert strategy is not None
        assert type(strategy).model_fields.keys() - {"type", "test_traffic", "mirror"} == set(written)


def test_the_table_of_mirror_tells_the_defaults() -> None:
    """Each key has a row, and its default. The header is the one that is sent."""
    table = PAGE[PAGE.index("## Mirror") : PAGE.index("## How the traffic moves")]
    found = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE))
    assert found.keys() == Mirror.model_fields.keys()
    assert Mirror.model_validate({name: YAML(typ="safe").load(text) for name, text in found.items()}) == Mirror()
    assert f"**`{': '.join(HEADER)}`**" in table


def test_each_name_means_what_the_table_says() -> None:
    """The names of AWS give the same settings as the strategy beside them."""
    table = PAGE[PAGE.index("## Names of ECS and CodeDeploy") : PAGE.index("## Test traffic")]
    rows = re.findall(r"^\| (`.+`) \| (.+) \|$", table, re.MULTILINE)
    assert len(rows) == 6
    for left, right in rows:
        names, meanings = re.findall(r"`([^`]+)`", left), re.findall(r"`([^`]+)`", right)
        plain = [meaning for meaning in meanings if not meaning.startswith("rolling: ")]
        for number, name in enumerate(names):
            meaning = YAML(typ="safe").load(plain[number if len(plain) > 1 else 0])
            limits = YAML(typ="safe").load(meanings[1]) if meanings[1:] and plain != meanings else {}
            wanted = ServiceSettings.model_validate({"target_group": "web", "strategy": meaning, **limits})
            assert settings(name) == wanted, name


def test_the_example_of_scaling_to_zero(tmp_path: Path) -> None:
    """It is a whole file, whose target group holds requests. The table has the defaults."""
    section = PAGE[PAGE.index("## Scaling to zero") :]
    (tmp_path / "pipeline.yaml").write_text(re.findall(r"```yaml\n(name: .*?)```", section, re.DOTALL)[0])
    configuration = load(tmp_path / "pipeline.yaml", {}, {})
    (policy,) = configuration.pipeline.deploy.all_scaling().values()
    assert (policy.min, policy.idle_time) == (0, timedelta(minutes=15))
    spec = ReleaseSpec.of(configuration, image_id="1", image_tag="1", sha="a" * 40, subject="")
    group = spec.balancer.target_groups["web"]
    assert isinstance(group, ApplicationTargetGroup)
    assert group.hold_time == timedelta(minutes=1)
    defaults = ScalingPolicy.model_validate({"min": 0, "max": 1})
    for name, limit in (("idle_time", defaults.idle_limit), ("hold_time", defaults.hold_limit)):
        assert re.search(rf"^\| `{name}` \| [^|]+ \| {format_duration(limit)} \|", section, re.MULTILINE)
    assert f"{MAX_HELD:,} for each target group" in section
