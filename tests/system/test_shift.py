"""`pipeline balancer shift` with a real balancer, and the names that follow it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration
from pipeline.balancer.names.read import read_names
from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from tests.support.command_line import pipeline
from tests.support.ports import free_port
from tests.support.zoned import ZONES, application

NO_SHIFTS = {"zonal_shift.config.enabled": False}


@pytest.fixture
def balancer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Balancer]:
    """Return the balancer of a home in which two owners have load balancers named edge, with zones."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    balancer = open_balancer(Home.locate().balancer)
    declare(balancer, "shop", edge={"zones": ZONES}, fixed={"zones": ZONES, "attributes": NO_SHIFTS})
    declare(balancer, "blog", edge={"zones": {"zone-b": "127.0.2.2", "zone-c": "127.0.3.2"}})
    yield balancer
    for owner in ("shop", "blog"):
        balancer.withdraw(owner)


def declare(balancer: Balancer, owner: str, **balancers: dict[str, Any]) -> None:
    made = {name: application(free_port(), **keys) for name, keys in balancers.items()}
    data = {"load_balancers": made, "target_groups": {"web": {"port": 80}}}
    balancer.apply(owner, Declaration.model_validate(data))


def shifts() -> dict[str, str]:
    """Return the zone that each load balancer is shifted away from."""
    found = json.loads(pipeline("balancer", "shift", "--json").stdout)
    return {f"{one['load_balancer']}.{one['owner']}": one["away_from"] for one in found}


def in_service(balancer: Balancer, name: str) -> list[str | None]:
    return [node.zone for node in read_names(balancer).entries[name].nodes if node.in_service]


def test_a_shift_of_one_load_balancer(balancer: Balancer) -> None:
    """The zone leaves the names of this load balancer alone, the list has it, and --cancel ends it."""
    done = pipeline("balancer", "shift", "edge.shop", "--away", "zone-b", "--for", "10m")
    assert (done.returncode, done.stderr) == (0, "")
    header, line = done.stdout.splitlines()
    assert header.split("  ")[0] == "LOAD BALANCER"
    assert re.fullmatch(r"edge\.shop +zone-b +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line)
    assert (in_service(balancer, "edge.shop"), in_service(balancer, "edge.blog")) == (["zone-a"], ["zone-b", "zone-c"])
    assert pipeline("balancer", "shift").stdout == done.stdout
    done = pipeline("balancer", "shift", "edge.shop", "--cancel")
    assert (done.returncode, done.stdout) == (0, "edge.shop: zone-b gets traffic again\n")
    assert in_service(balancer, "edge.shop") == ["zone-a", "zone-b"]


def test_a_shift_of_a_zone(balancer: Balancer) -> None:
    """Without a name, all load balancers with the zone are shifted that allow it, and --cancel ends all."""
    begun = datetime.now(UTC)
    done = pipeline("balancer", "shift", "--away", "zone-b", "--for", "90m", "--json")
    found = json.loads(done.stdout)
    assert [(one["owner"], one["load_balancer"], one["away_from"]) for one in found] == [
        ("shop", "edge", "zone-b"),
        ("blog", "edge", "zone-b"),
    ]
    until = datetime.fromisoformat(found[0]["until"])
    assert timedelta(minutes=90) <= until - begun < timedelta(minutes=91)
    assert shifts() == {"edge.shop": "zone-b", "edge.blog": "zone-b"}
    assert json.loads(pipeline("balancer", "shift", "--cancel", "--json").stdout) == []
    assert shifts() == {}
    for more in ((), ("--cancel",)):
        assert pipeline("balancer", "shift", *more).stdout == "no zone is shifted away\n"


def test_a_shift_is_prolonged_and_ends(balancer: Balancer) -> None:
    """A second shift replaces the first, and a shift that is over is in no list."""
    for zone, duration in (("zone-a", "3d"), ("zone-b", "1ms")):
        assert pipeline("balancer", "shift", "edge.shop", "--away", zone, "--for", duration).returncode == 0
    assert shifts() == {}
    assert in_service(balancer, "edge.shop") == ["zone-a", "zone-b"]
