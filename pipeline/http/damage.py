"""What keeps a pipeline or the balancer from working: the traces of a crash, and processes that are stopped."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.balancer.balancer import Balancer
from pipeline.base.lock import holder
from pipeline.runner.status import PipelineStatus

INTERRUPTED = "a run or a deployment was interrupted"


def damage_of(balancer: Balancer, status: PipelineStatus) -> list[str]:
    """Return one line per damage of a crash."""
    return [*interruption(status), *balancer_damage(balancer, balancer.stopped())]


def interruption(status: PipelineStatus) -> list[str]:
    """Return one line if a process died, and its work is not recovered yet."""
    return [INTERRUPTED] if status.interrupted else []


def balancer_damage(balancer: Balancer, stopped: Sequence[int]) -> list[str]:
    """Return one line if the balancer does not run, or if a signal has `stopped` these processes of it."""
    if balancer.pid() is None and not balancer.registry().is_empty:
        return ["the balancer is not running"]
    if stopped:
        return [f"the balancer is stopped by a signal (pid {', '.join(map(str, stopped))}): nothing is served"]
    return []


def blocked_balancer(balancer: Balancer) -> list[str]:
    """Return one line if a process that is stopped keeps all others from changing the balancer."""
    found = holder(balancer.directory / "lock")
    if found is None or not found.stopped:
        return []
    return [f"{found.purpose} (pid {found.pid}) holds the balancer and {found.state}: {found.remedy}"]
