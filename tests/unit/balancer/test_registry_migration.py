"""Migration of the previous registry format: read as it is, and replaced by the first change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.haproxy.configuration import render
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from pipeline.balancer.targets import TargetPhase
from pipeline.balancer.wanted import plane_config
from pipeline.base.errors import BalancerFault
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.version_1_registry import version_1

SHOP = Declaration.model_validate(
    {
        "target_groups": {"web": {"port": 80, "health_check": {"path": "/up"}}, "api": {"port": 81}},
        "load_balancers": {
            "edge": {
                "listeners": [
                    {
                        "port": 8081,
                        "rules": [
                            {
                                "priority": 7,
                                "conditions": [{"path_pattern": ["/api*"]}],
                                "action": {"forward": [{"target_group": "api", "weight": 2}, "web"]},
                            }
                        ],
                        "default_action": {"forward": "web"},
                    },
                    {"port": 8080, "default_action": {"fixed_response": {"status_code": 404}}},
                ]
            }
        },
    }
)
BLOG = Declaration.model_validate(
    {
        "target_groups": {"web": {"port": 80}},
        "load_balancers": {
            "its": {
                "listeners": [
                    {
                        "port": 8080,
                        "rules": [
                            {
                                "priority": 1,
                                "conditions": [{"host_header": ["blog.test"]}],
                                "action": {"forward": "web"},
                            }
                        ],
                    }
                ]
            }
        },
    }
)
TARGETS = [
    (Target(id=f"web-{n}", address="10.0.0.1", port=80 + n), phase)
    for n, phase in enumerate(("initial", "in_service", "draining"))
]


class KilledError(BaseException):
    """The process of the test was killed here."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of version 1."""
    path = tmp_path / "registry.json"
    path.write_text(version_1({"shop": (SHOP, {"web": TARGETS, "api": []}), "blog": (BLOG, {})}))
    return path


def test_it_is_read(path: Path) -> None:
    """Declarations become resources, phases become wanted and admitted, and reading writes nothing."""
    before = path.read_text()
    file = RegistryFile(path)
    registry = file.read()
    assert (registry.declares("shop", SHOP), registry.declares("blog", BLOG)) == (True, True)
    assert [(r.target, r.phase) for r in registry.registrations("shop", "web")] == [
        (target, TargetPhase(phase)) for target, phase in TARGETS
    ]
    assert {r.check.path for r in registry.registrations("shop", "web")} == {"/up"}
    assert (file.is_outdated, path.read_text()) == (True, before)


def test_it_renders_to_the_same_as_before(path: Path) -> None:
    """A migrated registry renders to the same configuration, so HAProxy is not reloaded."""
    fresh = Registry().declare("shop", SHOP).declare("blog", BLOG)
    read = RegistryFile(path).read()
    bare = read.with_registrations("shop", "web", ())
    assert render(plane_config(bare)) == render(plane_config(fresh))


def test_the_first_act_replaces_it(path: Path) -> None:
    """The first change migrates the file after old processes are replaced, and a read does not."""
    plane = FakePlane()
    balancer = Balancer(path.parent, plane)
    balancer.target_health("shop", "web")
    balancer.check("shop", SHOP)
    assert "version" not in json.loads(path.read_text())
    before = balancer.registry()
    balancer.reconcile()
    assert json.loads(path.read_text())["version"] == 2
    assert plane.calls["take_over"] == 1
    again = RegistryFile(path)
    assert (again.is_outdated, again.read().target_groups) == (False, before.target_groups)
    assert again.read().declares("shop", SHOP)
    Balancer(path.parent, plane).reconcile()
    assert plane.calls["take_over"] == 1


@pytest.mark.parametrize("after", [False, True])
def test_cut_short_it_begins_again(path: Path, after: bool) -> None:
    """An interrupted migration leaves the file unchanged and is repeated."""
    plane = FakePlane()
    plane.fail("take_over", KilledError(), after=after)
    with pytest.raises(KilledError):
        Balancer(path.parent, plane).reconcile()
    assert "version" not in json.loads(path.read_text())
    Balancer(path.parent, plane).reconcile()
    assert json.loads(path.read_text())["version"] == 2
    assert plane.calls["take_over"] == 2


@pytest.mark.parametrize("text", ['{"owners": {"shop": 7}}', '{"owners": {}, "weather": "fine"}'])
def test_what_is_of_no_version(path: Path, text: str) -> None:
    """A file of an unknown version is refused and not changed."""
    path.write_text(text)
    with pytest.raises(BalancerFault):
        Balancer(path.parent, FakePlane()).reconcile()
    assert path.read_text() == text
