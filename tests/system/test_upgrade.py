"""An upgrade while HAProxy runs replaces the registry and reloads nothing."""

from __future__ import annotations

import json

from pipeline.balancer.model import TargetState
from pipeline.balancer.planes import open_balancer
from tests.support.version_1_registry import version_1
from tests.support.waiting import until
from tests.system.bench import GROUP, OWNER, Bench


def test_an_upgrade_reloads_nothing(bench: Bench) -> None:
    """Targets stay in service, a waiting one is admitted, and one that drains keeps draining."""
    bench.serve("in", "out")
    waiting = bench.backend("waiting")
    waiting.health = 503
    bench.balancer.register(OWNER, GROUP, waiting.target)
    bench.balancer.deregister(OWNER, GROUP, "out")
    registry = bench.balancer.registry()
    declaration = registry.declaration(OWNER)
    assert declaration is not None
    targets = [(known.target, str(known.phase)) for known in registry.registrations(OWNER, GROUP)]
    path = bench.balancer.directory / "registry.json"
    path.write_text(version_1({OWNER: (declaration, {GROUP: targets})}))

    upgraded = open_balancer(bench.balancer.directory)
    worker = bench.worker()
    assert {h.target.id: h.state for h in upgraded.target_health(OWNER, GROUP)} == {
        "in": TargetState.HEALTHY,
        "out": TargetState.DRAINING,
        "waiting": TargetState.INITIAL,
    }
    assert "version" not in json.loads(path.read_text())
    upgraded.ensure_running()
    assert json.loads(path.read_text())["version"] == 2
    waiting.health = 200
    until(lambda: upgraded.reconcile() or bench.get()[1] == "waiting", "it is admitted")
    assert {bench.get()[1] for _ in range(6)} == {"in", "waiting"}
    assert bench.worker() == worker
