"""What is done with a request that a rule takes."""

from __future__ import annotations

from tests.system.alb import Alb


def test_forward_by_weight_is_changed_while_it_runs(alb: Alb) -> None:
    """Weights move all requests from one group to the other without a reload."""
    groups: dict[str, dict[str, object]] = {"blue": {}, "green": {}}

    def weigh(blue: int, green: int) -> None:
        shares = [{"target_group": "blue", "weight": blue}, {"target_group": "green", "weight": green}]
        alb.declare({"default_action": {"forward": shares}}, groups=groups)

    weigh(1, 0)
    alb.serve("b", group="blue")
    alb.serve("g", group="green")
    assert {alb.ask().seen["server"] for _ in range(20)} == {"b"}
    worker = alb.worker()
    weigh(0, 1)
    assert {alb.ask().seen["server"] for _ in range(20)} == {"g"}
    assert alb.worker() == worker
