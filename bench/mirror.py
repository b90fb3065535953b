"""Copies of requests to a new release: the CPU time of the process that sends them, and what they find."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from bench.extent import Extent
from bench.figure import Figure
from bench.release_servers import release_servers
from bench.results import Results
from bench.simulated_mirror import EQUAL, SECONDS, WORSE, Shape
from bench.simulated_mirror import RATE as SIMULATED_RATE
from pipeline.balancer.access import LoggedRequest
from pipeline.balancer.haproxy.access_log import HAProxyAccessLog
from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.clock import SYSTEM
from pipeline.config.mirror import Mirror
from pipeline.events import Events
from stages.deploy.alarm_events import AlarmEvents
from stages.deploy.mirror_client import MirrorClient
from stages.deploy.mirror_judge import MirrorJudge, mirror_conditions
from stages.deploy.mirror_traffic import MirrorTraffic
from stages.deploy.paired_targets import PairedHealth
from tests.support.access_log import raw

_RATE, _COPIED = 1000, 100
_MAX_COPIES, _MAX_READING = 2.0, 1.0
# In percent of the deployments.
_MAX_FALSE, _MAX_MISSED = 1.0, 5.0
# The numbers of deployments, in full and in short.
_SHAPES = (*zip(EQUAL, ((1000, 20), (600, 5)), strict=True), *((shape, (200, 5)) for shape in WORSE))


def measure(extent: Extent) -> Results:
    """Measure looks at a log that grows by 1,000 requests a second."""
    seconds = extent.choose(60, 5)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, release_servers() as ports:
        log = Path(folder) / "access.log"
        copied, sending = _looks(log, ports, seconds, _COPIED)
        _, reading = _looks(log, ports, seconds, 0)
    deployments = [(shape, _deployments(shape, extent.choose(*count))) for shape, count in _SHAPES]
    per_thousand = (sending - reading) / copied * 1000
    percent = reading / seconds * 100
    return Results.judged(
        "Copies of requests",
        f"The process of a deployment looks once a second for {seconds} s at an access log that grows by {_RATE:,} "
        f"requests a second, and copies {_COPIED} of them a second to two releases, with 8 threads. Then it looks for "
        "as long without copying any. Each copied request is two requests over kept connections, one to each release. "
        f"The releases are simulated deployments with {SIMULATED_RATE} copied requests a second for {SECONDS} s, at "
        "99 %. The previous one has 0.1 % of 500s, and the time of a request varies more than that of its copies.",
        ("what", "found", "median second", "last"),
        (
            (f"CPU time of 1,000 copied requests, of {copied:,}", f"{per_thousand:.2f} s", "", ""),
            (f"CPU time of reading the log at {_RATE:,} requests a second", f"{percent:.2f} % of a core", "", ""),
            *(_row(shape, alarms) for shape, alarms in deployments),
        ),
        (
            *(_figure(shape, alarms) for shape, alarms in deployments),
            Figure("s of CPU time for 1,000 copied requests", per_thousand, _MAX_COPIES),
            Figure(f"% of a core for reading the log at {_RATE:,} requests a second", percent, _MAX_READING),
        ),
    )


def _deployments(shape: Shape, count: int) -> list[int | None]:
    source = random.Random(16)
    return [shape.alarm(source) for _ in range(count)]


def _row(shape: Shape, alarms: Sequence[int | None]) -> tuple[str, str, str, str]:
    found = sorted(second for second in alarms if second is not None)
    name = f"{shape.name}: {shape.metric}"
    if not found:
        return name, f"0 of {len(alarms)}", "none", "none"
    return name, f"{len(found)} of {len(alarms)}", f"{statistics.median(found):g}", str(found[-1])


def _figure(shape: Shape, alarms: Sequence[int | None]) -> Figure:
    found = sum(second is not None for second in alarms) / len(alarms) * 100
    if shape in EQUAL:
        return Figure(f"% of false alarms, {shape.metric}", found, _MAX_FALSE)
    return Figure(f"% not found, {shape.name}", 100 - found, _MAX_MISSED)


class _Traffic(MirrorTraffic):
    """Counts the requests that are copied."""

    copied = 0

    def send(
        self, requests: Sequence[LoggedRequest], new: Sequence[Target], previous: Sequence[Target], seconds: float
    ) -> int:
        accepted = super().send(requests, new, previous, seconds)
        self.copied += accepted
        return accepted


def _looks(log: Path, ports: dict[str, int], seconds: int, copied: int) -> tuple[int, float]:
    """Look once a second. Return the number of copied requests and the CPU time of this process in seconds."""
    settings = Mirror(percent=100, max_requests_per_second=max(1, copied))
    traffic = _Traffic(partial(MirrorClient, timedelta(seconds=10)), settings.max_concurrency, _RATE)
    health = PairedHealth(home=_group("old", ports["previous"]), alternate=_group("new", ports["equal"]))
    # Without a healthy target, nothing is copied.
    nobody = PairedHealth({}, {})
    judge = MirrorJudge(
        settings,
        mirror_conditions(None),
        HAProxyAccessLog(log),
        "shop.web",
        traffic,
        lambda: health if copied else nobody,
        clock=SYSTEM,
        events=AlarmEvents(Events("bench", 1), SYSTEM, "web", 2),
    )
    lines = raw() * _RATE
    log.write_bytes(lines)
    judge.look()
    used, begun = 0.0, time.monotonic()
    for second in range(1, seconds + 1):
        with log.open("ab") as file:
            file.write(lines)
        before = time.process_time()
        judge.look()
        time.sleep(max(0.0, begun + second - time.monotonic()))
        used += time.process_time() - before
    judge.stop()
    return traffic.copied, used


def _group(name: str, port: int) -> dict[str, TargetHealth]:
    target = Target(id=name, address="127.0.0.1", port=port)
    return {name: TargetHealth(target=target, state=TargetState.HEALTHY, since=SYSTEM.now())}
