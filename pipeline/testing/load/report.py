"""The report of a load: counts, latencies and gaps, in total and per phase."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

# Latencies are counted in steps of two per cent. That is exact enough to compare, and needs constant memory.
_STEP = math.log(1.02)
_MAX_FAILURES = 500


@dataclass(frozen=True)
class FailedRequest:
    """A failed request. `at` is in seconds from the start.

    It was sent in `phase` and failed in `lost_in`, which may be a later one.
    """

    at: float
    phase: str
    method: str
    reason: str
    lost_in: str


@dataclass(frozen=True)
class PhaseReport:
    """One phase. Latencies are in milliseconds since a request was due. The gap is the longest without a success."""

    name: str
    sent: int
    failed: int
    p50: float
    p99: float
    longest_gap: float
    versions: dict[str, int]


@dataclass(frozen=True)
class LoadReport:
    """A whole load. Requests that have neither succeeded nor failed are in flight.

    `late` is the longest delay of the generator itself, in milliseconds.
    """

    seconds: float
    sent: int
    succeeded: int
    failed: int
    p50: float
    p99: float
    longest_gap: float
    late: float
    rate: float
    phases: tuple[PhaseReport, ...]
    failures: tuple[FailedRequest, ...]

    def as_data(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> LoadReport:
        """Read a report from JSON data."""
        phases = tuple(PhaseReport(**phase) for phase in data["phases"])
        failures = tuple(FailedRequest(**failure) for failure in data["failures"])
        return cls(**{**data, "phases": phases, "failures": failures})


class Latencies:
    """A histogram of latencies in seconds."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Add one latency."""
        self._counts[round(math.log(max(seconds, 1e-6)) / _STEP)] += 1

    def merge(self, other: Latencies) -> None:
        """Add all latencies of another histogram."""
        self._counts.update(other._counts)

    @property
    def count(self) -> int:
        """The number of latencies."""
        return self._counts.total()

    def quantile(self, share: float) -> float:
        """Return the quantile for `share` in milliseconds, or 0 without any latency."""
        wanted = share * self.count
        for bucket in sorted(self._counts):
            wanted -= self._counts[bucket]
            if wanted <= 0:
                return round(1000 * math.exp(bucket * _STEP), 2)
        return 0.0


@dataclass
class LoadPhase:
    """The counters of one phase."""

    name: str
    sent: int = 0
    failed: int = 0
    longest_gap: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)
    versions: Counter[str] = field(default_factory=Counter)

    def report(self) -> PhaseReport:
        """Return the report of the phase so far."""
        return PhaseReport(
            self.name,
            self.sent,
            self.failed,
            self.latencies.quantile(0.5),
            self.latencies.quantile(0.99),
            round(1000 * self.longest_gap, 1),
            dict(self.versions),
        )


class Recorder:
    """Counts the results of a load in the order they arrive. Times are in seconds of one clock."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._last_success = started
        self._phases = [LoadPhase("start")]
        self._failures: list[FailedRequest] = []
        self._recent: list[float] = []
        self.late = 0.0

    def mark(self, name: str) -> None:
        """Start the phase `name`."""
        self._phases.append(LoadPhase(name))

    def sent(self) -> LoadPhase:
        """Count a request that is sent, and return its phase, to which its result belongs."""
        phase = self._phases[-1]
        phase.sent += 1
        return phase

    def succeeded(self, phase: LoadPhase, due: float, now: float, version: str) -> None:
        """Count a successful request."""
        phase.latencies.add(now - due)
        phase.versions[version] += 1
        current = self._phases[-1]
        current.longest_gap = max(current.longest_gap, now - self._last_success)
        self._last_success = now
        self._recent.append(now)

    def failed(self, phase: LoadPhase, now: float, method: str, reason: str) -> None:
        """Count a failed request."""
        phase.failed += 1
        if len(self._failures) < _MAX_FAILURES:
            at, lost_in = round(now - self._started, 3), self._phases[-1].name
            self._failures.append(FailedRequest(at, phase.name, method, reason, lost_in))

    def report(self, now: float) -> LoadReport:
        """Return the report of the load so far."""
        # A gap that has not ended yet counts too.
        longest = max([now - self._last_success, *(phase.longest_gap for phase in self._phases)])
        whole = Latencies()
        for phase in self._phases:
            whole.merge(phase.latencies)
        self._recent = [moment for moment in self._recent if moment > now - 1]
        return LoadReport(
            seconds=round(now - self._started, 2),
            sent=sum(phase.sent for phase in self._phases),
            succeeded=whole.count,
            failed=sum(phase.failed for phase in self._phases),
            p50=whole.quantile(0.5),
            p99=whole.quantile(0.99),
            longest_gap=round(1000 * longest, 1),
            late=round(1000 * self.late, 1),
            rate=float(len(self._recent)),
            phases=tuple(phase.report() for phase in self._phases if phase.sent),
            failures=tuple(self._failures),
        )
