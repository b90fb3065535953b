"""Many commands for HAProxy at once."""

from __future__ import annotations

from pipeline.balancer.haproxy.control_socket import Runtime
from tests.system.bench import Bench


def test_each_of_many_commands_is_answered(bench: Bench) -> None:
    """More replies than the kernel keeps for a reader arrive as a whole."""
    bench.serve("a")
    runtime, steps = Runtime(bench.balancer.directory), ["enable server nowhere/a"] * 3000
    assert runtime.execute(steps).count("No such") == len(steps)
