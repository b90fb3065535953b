"""The mistakes in `pipeline balancer shift`, which start no HAProxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.balancer.registry_file import RegistryFile
from tests.support.command_line import pipeline
from tests.support.zoned import ZONES, application, declared

NO_SHIFTS = {"zonal_shift.config.enabled": False}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the registry of a home in which two owners have load balancers named edge."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    file = tmp_path / "balancer" / "registry.json"
    file.parent.mkdir()
    blog = {"edge": application(4, zones={"zone-b": "127.0.2.2", "zone-c": "127.0.3.2"})}
    fixed = application(2, zones=ZONES, attributes=NO_SHIFTS)
    shop = {"edge": application(1, zones=ZONES), "fixed": fixed, "plain": application(3)}
    RegistryFile(file).write(declared(shop=shop, blog=blog))
    return file


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--away", "zone-a"], "error: --away and --for require each other\nhint: --away zone-a --for 10m\n"),
        (["--for", "10m"], "error: --away and --for require each other\nhint: --away zone-a --for 10m\n"),
        (
            ["--away", "zone-a", "--for", "1m", "--cancel"],
            "error: --away and --cancel exclude each other\n",
        ),
        (
            ["--away", "zone-a", "--for", "soon"],
            "error: --for: 'soon' is not a valid duration; write 500ms, 30s, 2m or 1h\n",
        ),
        (
            ["--away", "zone-a", "--for", "73h"],
            "error: --for 73h: must be more than 0s and at most 3d\nhint: repeat the command to prolong it\n",
        ),
        (
            ["--away", "zone-d", "--for", "1m"],
            "error: zone zone-d is not declared\nhint: did you mean zone-c?; declared: zone-a, zone-b, zone-c\n",
        ),
        (
            ["edge", "--away", "zone-a", "--for", "1m"],
            "error: several load balancers are named edge\nhint: use edge.shop or edge.blog\n",
        ),
        (
            ["egde.shop", "--cancel"],
            "error: load balancer egde.shop is not declared\n"
            "hint: did you mean edge.shop?; declared: edge.blog, edge.shop, fixed.shop, plain.shop\n",
        ),
        (
            ["plain", "--away", "zone-a", "--for", "1m"],
            "error: load balancer plain of shop has no zones\nhint: declare zones on the load balancer\n",
        ),
        (
            ["fixed", "--away", "zone-a", "--for", "1m"],
            "error: zonal shifts are disabled for load balancer fixed of shop\n"
            "hint: set its attribute zonal_shift.config.enabled to true\n",
        ),
    ],
)
def test_mistakes(arguments: list[str], error: str, registry: Path) -> None:
    """Each mistake names what is wrong and what to write, and changes nothing."""
    before = registry.read_bytes()
    done = pipeline("balancer", "shift", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", error)
    assert registry.read_bytes() == before
    assert not (registry.parent / "haproxy.pid").exists()
