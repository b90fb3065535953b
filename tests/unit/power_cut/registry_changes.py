"""A program that changes the registry of a balancer, and writes a byte to `acknowledged` after each change."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, Target
from pipeline.base.home import Home
from pipeline.testing.fakes.data_plane import FakePlane

root = Path(sys.argv[1])
declaration = Declaration.model_validate(
    {
        "target_groups": {"web": {"port": 80}},
        "load_balancers": {"edge": {"listeners": [{"port": 8080, "default_action": {"forward": "web"}}]}},
    }
)
balancer = Balancer(Home.locate({"PENSTOCK_HOME": str(root / "home")}).balancer, FakePlane())
with (root / "acknowledged").open("wb", buffering=0) as acknowledged:
    for change in (
        lambda: balancer.apply("shop", declaration),
        lambda: balancer.register("shop", "web", Target(id="one", address="10.0.0.1", port=80)),
        lambda: balancer.register("shop", "web", Target(id="two", address="10.0.0.2", port=80)),
        lambda: balancer.deregister("shop", "web", "one"),
        lambda: balancer.remove_target("shop", "web", "one"),
    ):
        change()
        acknowledged.write(b".")
