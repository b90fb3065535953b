"""Examples in docs/configuration.md do what the text says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.balancer.model import GatewayTargetGroup
from pipeline.base.errors import ConfigError
from pipeline.config.load import load
from tests.support.paths import ROOT

_BLOCKS = re.findall(r"```yaml\n(name: .*?)```", (ROOT / "docs" / "configuration.md").read_text(), re.DOTALL)
# The files that examples name.
_FILES = {"common.env": "DATABASE_HOST=db\n", "worker.env": "QUEUE=default\nCONCURRENCY=1\n"}


def test_the_example_of_environment_files(tmp_path: Path) -> None:
    """Its worker has the variables of all sources, with `environment` first."""
    for name, content in _FILES.items():
        (tmp_path / name).write_text(content)
    (tmp_path / ".secrets").write_text("DATABASE_PASSWORD=hidden\n")
    (tmp_path / ".secrets").chmod(0o600)
    (tmp_path / "pipeline.yaml").write_text(next(block for block in _BLOCKS if "secrets: all" in block))
    found = load(tmp_path / "pipeline.yaml", {}, {})
    assert found.pipeline.deploy.all_services()["worker"].environment == {
        "DATABASE_HOST": "db",
        "QUEUE": "default",
        "CONCURRENCY": "4",
        "DATABASE_PASSWORD": "${secret:DATABASE_PASSWORD}",
    }


def test_the_example_of_strategies(tmp_path: Path) -> None:
    """Its services have the strategy of deploy or their own, and the worker has none."""
    (tmp_path / "pipeline.yaml").write_text(next(block for block in _BLOCKS if "strategy:" in block))
    services = load(tmp_path / "pipeline.yaml", {}, {}).pipeline.deploy.all_services()
    found = {name: service.strategy.steps() if service.strategy else () for name, service in services.items()}
    assert {name: [step.percent for step in steps] for name, steps in found.items()} == {
        "web": [10, 100],
        "api": [100],
        "worker": [],
    }


def test_the_example_of_alarms(tmp_path: Path) -> None:
    """Its services have the conditions of deploy or their own."""
    (tmp_path / "pipeline.yaml").write_text(next(block for block in _BLOCKS if "rollback_on:" in block))
    services = load(tmp_path / "pipeline.yaml", {}, {}).pipeline.deploy.all_services()
    found = {name: service.rollback_on for name, service in services.items()}
    assert {name: len(each.conditions) if each else 0 for name, each in found.items()} == {
        "web": 3,
        "api": 2,
        "worker": 1,
    }


def test_the_example_of_hosts(tmp_path: Path) -> None:
    """Its hosts are in three zones, and one of them is this machine."""
    (tmp_path / "pipeline.yaml").write_text(next(block for block in _BLOCKS if "  hosts:" in block))
    cluster = load(tmp_path / "pipeline.yaml", {}, {}).pipeline.deploy.cluster
    assert [(spec.name, spec.zone, spec.address) for spec in cluster.specs] == [
        ("app1", "a", "10.0.0.11"),
        ("app2", "b", "10.0.0.12"),
        ("here", "c", "127.0.0.1"),
    ]


def test_the_example_of_appliances(tmp_path: Path) -> None:
    """Its flows go to others when an appliance fails, and its listener takes all packets."""
    (tmp_path / "pipeline.yaml").write_text(next(block for block in _BLOCKS if "type: gateway" in block))
    found = load(tmp_path / "pipeline.yaml", {}, {}).pipeline.balancer
    group = found.target_groups["firewalls"]
    assert isinstance(group, GatewayTargetGroup)
    assert (group.port, group.health_check.port, group.attributes.rebalances) == (6081, 80, True)
    assert [(name, listener.port, listener.groups()) for name, _, listener in found.listeners()] == [
        ("inspection", 0, {"firewalls"})
    ]


def test_the_example_of_mistakes(tmp_path: Path) -> None:
    """Its errors are those that the page shows."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    found = re.search(r"```yaml\n(# Two mistakes\n.*?)```\n\n```text\n(.*?)\n```", text, re.DOTALL)
    assert found
    (tmp_path / "pipeline.yaml").write_text(found[1])
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "pipeline.yaml", {}, {})
    assert caught.value.message.replace(f"{tmp_path}/", "") == found[2]
