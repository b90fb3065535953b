"""What keeps a pipeline or the balancer from working: the traces of a crash, and processes that are stopped."""

from __future__ import annotations

from pipeline.balancer.balancer import Balancer
from pipeline.base.lock import holder
from pipeline.runner.status import PipelineStatus

INTERRUPTED = "a run or a deployment was interrupted"


def damage_of(balancer: Balancer, status: PipelineStatus) -> list[str]:
    """Return one line per damage of a crash."""
    found = [INTERRUPTED] if status.interrupted else []
    if not balancer.registry().is_empty and balancer.pid() is None:
        found.append("the balancer is not running")
    elif stopped := balancer.stopped():
        found.append(f"the balancer is stopped by a signal (pid {', '.join(map(str, stopped))}): nothing is served")
    return found


def blocked_balancer(balancer: Balancer) -> list[str]:
    """Return one line if a process that is stopped keeps all others from changing the balancer."""
    found = holder(balancer.directory / "lock")
    if found is None or not found.stopped:
        return []
    return [f"{found.purpose} (pid {found.pid}) holds the balancer and {found.state}: {found.remedy}"]
