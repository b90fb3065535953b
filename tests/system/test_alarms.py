"""The alarms of a deployment over a real HAProxy: what each kind of failure counts as, and for which release."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.alarms.rollback_on import RollbackOn
from pipeline.alarms.window import ReleaseWindow
from pipeline.balancer.alternate import Alternate, with_alternates
from pipeline.balancer.haproxy.log_rotation import rotate
from pipeline.balancer.model import alternate_group as model
from pipeline.base.clock import SYSTEM
from pipeline.events import Events
from stages.deploy.alarm_events import AlarmEvents
from stages.deploy.alarm_judge import AlarmJudge
from stages.deploy.judge import Judgement
from stages.deploy.probes import Probes
from stages.deploy.release_windows import ReleaseTraffic, ReleaseWindows
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until
from tests.system.bench import GROUP, OWNER, Bench, declare
from tests.system.servers import Paced

NEW, PREVIOUS = "shop.web.r5.0a1b2c", "shop.web.r4.0a1b2c"
CONDITIONS: list[dict[str, Any]] = [
    {"metric": "http_5xx_ratio", "above": "99%"},
    {"metric": "target_5xx_ratio", "above": "99%"},
    {"metric": "p99", "above": "1m"},
    {"metric": "connection_errors", "above": 1000},
]


class Canary:
    """A service whose next release gets all or none of the requests, so a test knows which one they reach."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.previous, self.new = Paced(PREVIOUS), Paced(NEW)
        self.test_port = free_port()
        # A server that responds late on a busy machine stays healthy.
        calm = {"interval": "1s", "timeout": "900ms", "unhealthy_threshold": 10}
        self._declared = declare(bench.port, health=calm)
        self._traffic = ReleaseTraffic("shop.web.r", 5, "shop.web", "shop.web-next", self.test_port)
        bench.balancer.apply(OWNER, self._declared)
        self.share(0)
        for group, server in ((GROUP, self.previous), (f"{GROUP}-next", self.new)):
            bench.balancer.register(OWNER, group, server.target)
            until(lambda group=group: self._is_healthy(group), "the target is healthy")  # type: ignore[misc]
        self.start = datetime.now(UTC)

    def _is_healthy(self, group: str) -> bool:
        (found,) = self._bench.balancer.reconciled_health(OWNER, group)
        return found.state.value == "healthy"

    def share(self, percent: float) -> None:
        """Give the new release a share of the requests."""
        test = model.TestTraffic(port=self.test_port)
        self._bench.balancer.apply(OWNER, with_alternates(self._declared, {GROUP: Alternate(percent, test)}))

    def ask(self, count: int, *, port: int | None = None) -> None:
        """Send requests, one after the other."""
        for _ in range(count):
            self._bench.get(port=port)

    def judge(self) -> AlarmJudge:
        """Return a judge of this deployment, as each process makes one."""
        settings = RollbackOn.model_validate({"conditions": CONDITIONS, "warm_up": "0s"})
        return AlarmJudge(
            settings,
            self._traffic,
            self._bench.balancer.access_log(),
            start=lambda: self.start,
            clock=SYSTEM,
            probes=Probes(settings.conditions, SYSTEM, Path.cwd(), {}),
            events=AlarmEvents(Events(OWNER), SYSTEM, "web", 5),
        )

    def counts(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the requests so far, and those of them with 5XX: of the new release and of the previous one."""
        windows = ReleaseWindows(self._traffic, self.start)
        found = windows.add(self._bench.balancer.access_log().forwarded(self._traffic.groups))
        pairs = [*found, *windows.advance(datetime.now(UTC))]
        new, previous = ([pair[index] for pair in pairs] for index in (0, 1))
        return _total(new), _total(previous)

    def end(self) -> None:
        """End the servers."""
        self.previous.end()
        self.new.end()


def _total(windows: list[ReleaseWindow]) -> tuple[int, int]:
    return sum(each.requests for each in windows), sum(each.target_5xx + each.elb_5xx for each in windows)


@pytest.fixture
def canary(bench: Bench) -> Iterator[Canary]:
    canary = Canary(bench)
    yield canary
    canary.end()


def await_text(judge: AlarmJudge, condition: int, text: str) -> Judgement:
    """Look until the verdict on a condition has this text, which comes with the window of the last request."""
    seen: list[Judgement] = []

    def has_it() -> bool:
        seen.append(judge.look())
        return text in seen[-1].verdicts[condition].text

    until(has_it, f"{text}; it is {judge.look().verdicts[condition].text}", interval=0.1)
    return seen[-1]


def test_each_release_has_its_own_requests(canary: Canary) -> None:
    """Responses count for the release that sent them. Those of the test listener count for none."""
    canary.previous.status = 500
    canary.ask(3)
    canary.share(100)
    canary.ask(4)
    canary.ask(5, port=canary.test_port)
    canary.new.status = 500
    canary.ask(2)
    # Windows of all requests together, of the new release and of the previous one.
    until(lambda: canary.counts() == ((6, 2), (3, 3)), f"all windows are over; they have {canary.counts()}")


def test_requests_of_another_service(bench: Bench, canary: Canary) -> None:
    """The requests to other owners of the same log do not count."""
    port = free_port()
    other = Paced("other.web.r5.0a1b2c")
    bench.balancer.apply("other", declare(port))
    bench.balancer.register("other", GROUP, other.target)
    until(lambda: [h.state.value for h in bench.balancer.reconciled_health("other", GROUP)] == ["healthy"], "healthy")
    judge = canary.judge()
    canary.ask(3, port=port)
    canary.share(100)
    canary.ask(1)
    await_text(judge, 0, "(0 of 1 requests)")
    other.end()


def test_a_target_that_refuses_connections(canary: Canary) -> None:
    """A 503 of the balancer counts as the release's, with each failed connection."""
    judge = canary.judge()
    canary.share(100)
    canary.new.end()
    canary.ask(1)
    found = await_text(judge, 0, "100.0% (1 of 1 requests)")
    assert "target_5xx_ratio above 99%: 0.0% (0 of 1 requests)" in found.verdicts[1].text
    errors = found.verdicts[3].text
    assert errors.startswith("connection_errors above 1000: ")
    assert not errors.startswith("connection_errors above 1000: 0")


def test_a_client_that_leaves(bench: Bench, canary: Canary) -> None:
    """A client that does not wait is no error of the release, and the time that it has waited counts."""
    judge = canary.judge()
    canary.share(100)
    canary.new.latency = 600.0
    with socket.create_connection(("127.0.0.1", bench.port), timeout=DEADLINE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        until(lambda: canary.new.requests, "the request has arrived")
    found = await_text(judge, 0, "0.0% (0 of 1 requests)")
    assert "(1 request)" in found.verdicts[2].text


@pytest.mark.parametrize("disturb", ["kill", "rotate"])
def test_over_a_disturbance(bench: Bench, canary: Canary, disturb: str) -> None:
    """A HAProxy that is killed and a log that is rotated change nothing of what a judge counts, old or new."""
    judge = canary.judge()
    canary.share(100)
    canary.new.status = 500
    canary.ask(3)
    await_text(judge, 0, "(3 of 3 requests)")
    canary.new.status = 200
    canary.ask(2)
    _DISTURBANCES[disturb](bench)
    canary.ask(4)
    await_text(judge, 0, "(3 of 9 requests)")
    await_text(canary.judge(), 0, "(3 of 9 requests)")


def _kill(bench: Bench) -> None:
    _await_lines(bench)
    pid = bench.balancer.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: bench.balancer.pid() is None, "HAProxy is gone")
    bench.balancer.ensure_running()
    alternate = f"{GROUP}-next"
    until(
        lambda: [h.state.value for h in bench.balancer.reconciled_health(OWNER, alternate)] == ["healthy"],
        "the target is healthy again",
    )


def _rotate(bench: Bench) -> None:
    _await_lines(bench)
    rotate(bench.balancer.directory / "access.log", 0, 2**20)


def _await_lines(bench: Bench) -> None:
    log = bench.balancer.directory / "access.log"
    until(lambda: log.read_bytes().count(b"\tshop.web-next\t") == 5, "all lines are written")


_DISTURBANCES: dict[str, Callable[[Bench], None]] = {"kill": _kill, "rotate": _rotate}
