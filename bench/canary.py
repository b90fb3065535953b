"""Canaries under real traffic, with HAProxy, servers that are worse than the previous ones, and a deployment's judge.

Several pipelines of one balancer run side by side. Each gets its own traffic, and makes one deployment after another.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from bench.extent import Extent
from bench.figure import Figure, median_ratio
from bench.process import cpu
from bench.release_servers import RELEASES, release_servers
from bench.results import Results
from pipeline.alarms.decision import decide
from pipeline.alarms.rollback_on import RollbackOn
from pipeline.balancer.alternate import Alternate, with_alternates
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from pipeline.base.clock import SYSTEM
from pipeline.base.sockets import free_port
from pipeline.events import Events
from stages.deploy.alarm_events import AlarmEvents
from stages.deploy.alarm_judge import AlarmJudge
from stages.deploy.probes import Probes
from stages.deploy.release_windows import ReleaseTraffic

_RATE, _SHARE = 200, 10.0
_WORSE = "worse_than_previous"
_CONDITIONS: list[dict[str, Any]] = [
    {"metric": "http_5xx_ratio", _WORSE: True},
    {"metric": "response_time", _WORSE: True},
]
_SEVEN: list[dict[str, Any]] = [
    *_CONDITIONS,
    {"metric": "target_5xx_ratio", "worse_by": "5%"},
    {"metric": "p99", "slower_by": "100%"},
    {"metric": "p99", "above": "10s"},
    {"metric": "connection_errors", "above": 1000},
    {"metric": "unhealthy_targets", "above": 10},
]
_ROUND = 8.0


@dataclass(frozen=True)
class Deployment:
    """What a canary ended with. `seconds`: until its alarm, None if it was promoted."""

    release: str
    seconds: float | None
    reason: str
    is_promoted: bool


class Pipeline:
    """A pipeline whose previous release serves, and whose canaries are judged."""

    def __init__(self, balancer: Balancer, name: str, servers: dict[str, int]) -> None:
        self._balancer = balancer
        self._name = name
        self._servers = servers
        self._release = 1
        self.port = free_port()
        check = {"path": "/healthz", "interval": "5s", "timeout": "4s"}
        listener = {"port": self.port, "default_action": {"forward": "web"}}
        self._declared = Declaration.model_validate(
            {
                "target_groups": {"web": {"port": 80, "health_check": check, "deregistration_delay": "1s"}},
                "load_balancers": {"edge": {"scheme": "internal", "listeners": [listener]}},
            }
        )
        balancer.apply(name, self._declared)
        self._register("web", "previous")

    def _register(self, group: str, release: str) -> str:
        target = f"{self._name}.web.r{self._release}.0a1b2c"
        self._balancer.register(self._name, group, Target(id=target, address="127.0.0.1", port=self._servers[release]))
        self._balancer.wait_healthy(self._name, group, timedelta(seconds=60))
        return target

    def _share(self, percent: float | None) -> None:
        alternates = {} if percent is None else {"web": Alternate(percent)}
        self._balancer.apply(self._name, with_alternates(self._declared, alternates))

    @contextmanager
    def canary(self, release: str, share: float = _SHARE) -> Iterator[ReleaseTraffic]:
        """Give a new release a share of the traffic within the block."""
        self._release += 1
        self._share(0)
        target = self._register("web-next", release)
        self._share(share)
        try:
            name = self._name
            yield ReleaseTraffic(f"{name}.web.r", self._release, f"{name}.web", f"{name}.web-next")
        finally:
            self._share(0)
            self._balancer.deregister(self._name, "web-next", target)
            time.sleep(1)
            self._balancer.remove_target(self._name, "web-next", target)
            self._share(None)

    def judge(self, traffic: ReleaseTraffic, conditions: Sequence[dict[str, Any]]) -> AlarmJudge:
        """Return the judge of a canary."""
        settings = RollbackOn.model_validate({"conditions": conditions})
        return AlarmJudge(
            settings,
            traffic,
            self._balancer.access_log(),
            start=lambda: datetime.now(UTC),
            clock=SYSTEM,
            probes=Probes(settings.conditions, SYSTEM, Path.cwd(), {}),
            events=AlarmEvents(Events(self._name), SYSTEM, "web", traffic.release),
            unhealthy=lambda: sum(
                health.state.is_unhealthy for health in self._balancer.target_health(self._name, "web-next")
            ),
        )

    def deploy(self, release: str, bake_time: float) -> Deployment:
        """Deploy a release as a canary, which is looked at every second until its bake time is over."""
        with self.canary(release) as traffic:
            judge, began = self.judge(traffic, _CONDITIONS), time.monotonic()
            judgement = judge.look()
            while judgement.alarm is None and time.monotonic() - began < bake_time:
                time.sleep(1)
                judgement = judge.look()
        if judgement.alarm:
            return Deployment(release, time.monotonic() - began, judgement.alarm, is_promoted=False)
        decision = decide(judgement.verdicts, judgement.insufficient_data, bake_time_over=True)
        return Deployment(release, None, "; ".join(decision.reasons), is_promoted=decision.action == "promote")


def measure(extent: Extent) -> Results:
    """Deploy bad releases and equal ones, and measure what the reader of the access log costs."""
    counts, pipelines, bake_time = extent.choose((50, 8, 180.0), (4, 4, 60.0))
    releases = [name for name in RELEASES if name != "previous"]
    with tempfile.TemporaryDirectory() as folder, release_servers() as servers, _balancer(Path(folder)) as balancer:
        made = [Pipeline(balancer, f"shop{number}", servers) for number in range(pipelines)]
        # Those with the whole bake time first, so that all pipelines end at about the same time.
        wanted = Queue[str]()
        for release in sorted(releases, key="equal".__ne__):
            for _ in range(counts):
                wanted.put(release)
        ports = [pipeline.port for pipeline in made]
        with _load(_RATE, *ports) as sent, ThreadPoolExecutor(pipelines) as pool:
            found = list(pool.map(lambda one: _all(one, wanted, bake_time), made))
        cost = _cost(made[0], balancer, extent.choose(10, 2))
    deployments = [each for some in found for each in some]
    return results(deployments, counts, pipelines, bake_time, cost, sent)


def _all(pipeline: Pipeline, wanted: Queue[str], bake_time: float) -> list[Deployment]:
    done = []
    while True:
        try:
            release = wanted.get_nowait()
        except Empty:
            return done
        done.append(pipeline.deploy(release, bake_time))
        print(done[-1], file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Cost:
    """CPU time: of the judge as a share of a core at 1,000 requests a second, and of a request in HAProxy, in µs.

    `without` and `judged` are those of rounds without and with the judge, in turn.
    """

    rates: list[float]
    shares: list[float]
    without: list[float]
    judged: list[float]


def _cost(pipeline: Pipeline, balancer: Balancer, rounds: int) -> Cost:
    found = Cost([], [], [], [])
    with _load(1000, pipeline.port), pipeline.canary("equal") as traffic:
        for _ in range(rounds):
            found.without.append(_request_cost(balancer, pipeline, traffic, None)[0])
            microseconds, rate, seconds = _request_cost(balancer, pipeline, traffic, _SEVEN)
            found.judged.append(microseconds)
            found.rates.append(rate)
            found.shares.append(seconds / _ROUND * 1000 / rate * 100)
    return found


def _request_cost(
    balancer: Balancer, pipeline: Pipeline, traffic: ReleaseTraffic, conditions: Sequence[dict[str, Any]] | None
) -> tuple[float, float, float]:
    """Return HAProxy's CPU time for a request in µs, the requests per second, and the judge's CPU time in seconds."""
    pids = [int(line) for line in (balancer.directory / "haproxy.pid").read_text().split()]
    workers = [int(child) for pid in pids for child in _children(pid)]
    log = balancer.access_log()
    log.skip()
    judge = pipeline.judge(traffic, conditions) if conditions else None
    if judge:
        judge.look()
    before, spent, began = sum(map(cpu, workers)), 0.0, time.monotonic()
    while time.monotonic() - began < _ROUND:
        time.sleep(1)
        if judge:
            started = time.thread_time()
            judge.look()
            spent += time.thread_time() - started
    used, passed = sum(map(cpu, workers)) - before, time.monotonic() - began
    requests = sum(1 for _ in log.forwarded(traffic.groups))
    return used / requests * 1e6, requests / passed, spent


def _children(pid: int) -> Iterator[str]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from (task / "children").read_text().split()


@dataclass
class Sent:
    """The requests that were sent, and those of them without a response."""

    requests: int = 0
    failed: int = 0


@contextmanager
def _load(rate: float, *ports: int) -> Iterator[Sent]:
    """Send requests within the block, and count them at its end."""
    command, sent = [sys.executable, "-m", "bench.open_load", str(rate), *map(str, ports)], Sent()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield sent
        finally:
            said, _ = process.communicate("")
            sent.requests, sent.failed = map(int, said.split())


@contextmanager
def _balancer(folder: Path) -> Iterator[Balancer]:
    """Run a balancer, whose logs are capped as the daemon does it."""
    balancer, ended = open_balancer(folder / "balancer"), threading.Event()

    def maintain() -> None:
        while not ended.wait(60):
            balancer.ensure_running()

    keeper = threading.Thread(target=maintain)
    keeper.start()
    try:
        yield balancer
    finally:
        ended.set()
        keeper.join()
        for owner in balancer.registry().owners:
            balancer.withdraw(owner)


def results(
    found: Sequence[Deployment], count: int, pipelines: int, bake_time: float, cost: Cost, sent: Sent
) -> Results:
    """Return the section of the page. `count`: the deployments of each release."""
    rows, figures = [], []
    for release in dict.fromkeys(sorted((each.release for each in found), key=list(RELEASES).index)):
        done = [each for each in found if each.release == release]
        alarms = [each.seconds for each in done if each.seconds is not None]
        promoted = sum(each.is_promoted for each in done)
        rows.append((release, str(len(done)), str(len(alarms)), str(promoted), *_seconds(alarms)))
        wrong = len(done) - (promoted if release == "equal" else len(alarms))
        figures.append(Figure(f"{release}: wrong decisions", wrong, 0))
    share = statistics.median(cost.shares)
    ratio = median_ratio(cost.judged, cost.without)
    rows.append(("CPU time of the judge at 1,000 requests/s", f"{share:.2f} % of a core", "", "", "", ""))
    rows.append(
        (
            "CPU time of a request in HAProxy",
            f"{statistics.median(cost.without):.1f} µs without, {statistics.median(cost.judged):.1f} µs with the judge",
            *("", "", "", ""),
        )
    )
    return Results.judged(
        "Canaries under real traffic",
        f"{count} deployments of each release by HAProxy, {pipelines} at a time, each with its own {_RATE} requests/s "
        f"at random times. The canary gets {_SHARE:g} % for {bake_time:g} s. Its conditions are http_5xx_ratio and "
        "response_time, worse_than_previous, at 99 %, looked at every second. The previous release has 0.1 % of 500s "
        "and lognormal times with a median of 30 ms and a p99 of 96 ms. The slower one takes 30 % longer for its "
        f"slowest twentieth. The cost is that of seven conditions at {statistics.median(cost.rates):,.0f} requests/s, "
        f"in {len(cost.shares)} rounds of {_ROUND:g} s with and without them, in turn. All deployments together had "
        f"{sent.requests:,} requests.",
        ("release", "deployments", "rolled back", "promoted", "median second of the alarm", "last"),
        rows,
        [
            *figures,
            Figure("requests without a response", sent.failed, 0),
            Figure("the judge, % of a core at 1,000 requests/s", share, 1.0),
            Figure("CPU time of a request with the judge, times without", ratio, 1.05),
        ],
    )


def _seconds(alarms: Sequence[float]) -> tuple[str, str]:
    return (f"{statistics.median(alarms):.0f}", f"{max(alarms):.0f}") if alarms else ("none", "none")
