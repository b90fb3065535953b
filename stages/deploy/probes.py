"""Measurements of the commands and queries in `rollback_on`, taken in the background."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.alarms.condition import CommandCondition, Condition, PromqlCondition
from pipeline.alarms.probe_alarm import Measurement
from pipeline.balancer.environment import child_environment
from pipeline.base.clock import Clock
from pipeline.base.deadline import within
from pipeline.base.program import ProgramStopped, run_program
from stages.deploy.request_auth import auth_of

_MAX_RESPONSE = 2**20
# A program that is killed is gone within this time.
_STOP_TIMEOUT = 2.0

Measure = Callable[[threading.Event], Measurement]


class Probes:
    """Takes each measurement again when its interval is over. For one thread at a time.

    Programs that run are killed when this object is no longer used, and when the process ends.
    """

    def __init__(
        self, conditions: tuple[Condition, ...], clock: Clock, directory: Path, variables: Mapping[str, str]
    ) -> None:
        environment = {**child_environment(), **variables}
        self._stopped, self._threads = threading.Event(), weakref.WeakSet[threading.Thread]()
        self._probes = {
            index: _Probe(condition, clock, _measure_of(condition, directory, environment))
            for index, condition in enumerate(conditions)
            if isinstance(condition, CommandCondition | PromqlCondition)
        }
        weakref.finalize(self, _stop, self._stopped, self._threads)

    def take(self) -> dict[int, Measurement]:
        """Return the measurements that have finished since the last call, by condition, and start those that are due.

        Waits for none of them.
        """
        found = {}
        for index, probe in self._probes.items():
            if (measurement := probe.finished()) is not None:
                found[index] = measurement
            if thread := probe.start_if_due(self._stopped):
                self._threads.add(thread)
        return found


class _Probe:
    """The measurements of one condition, one at a time."""

    def __init__(self, condition: CommandCondition | PromqlCondition, clock: Clock, measure: Measure) -> None:
        self._interval = condition.interval.total_seconds()
        self._clock = clock
        self._measure = measure
        self._due = clock.monotonic()
        self._current: Future[Measurement] | None = None

    def finished(self) -> Measurement | None:
        if self._current is None or not self._current.done():
            return None
        current, self._current = self._current, None
        return current.result()

    def start_if_due(self, stopped: threading.Event) -> threading.Thread | None:
        now = self._clock.monotonic()
        if self._current is not None or now < self._due:
            return None
        # From start to start, and at once after a measurement that took longer.
        self._due = max(self._due + self._interval, now)
        self._current = current = Future[Measurement]()
        measure = self._measure
        thread = threading.Thread(
            target=lambda: current.set_result(_safely(measure, stopped)), name="alarm measurement", daemon=True
        )
        thread.start()
        return thread


def _safely(measure: Measure, stopped: threading.Event) -> Measurement:
    try:
        return measure(stopped)
    except ProgramStopped:
        return Measurement(error="it was stopped")
    # A measurement that fails in a way that is not foreseen must not end the deployment.
    except Exception as error:  # noqa: BLE001
        return Measurement(error=f"{type(error).__name__}: {error}")


def _stop(stopped: threading.Event, threads: weakref.WeakSet[threading.Thread]) -> None:
    stopped.set()
    for thread in list(threads):
        thread.join(_STOP_TIMEOUT)


def _measure_of(
    condition: CommandCondition | PromqlCondition, directory: Path, environment: Mapping[str, str]
) -> Measure:
    if isinstance(condition, CommandCondition):
        return lambda stopped: run_check(condition, directory, environment, stopped)
    return lambda _: query(condition)


def run_check(
    condition: CommandCondition, directory: Path, environment: Mapping[str, str], stopped: threading.Event
) -> Measurement:
    """Run a command in a directory, and return its exit code."""
    timeout = condition.timeout.total_seconds()
    try:
        done = run_program(condition.command, timeout, environment, directory, stopped=stopped)
    except TimeoutError as error:
        return Measurement(error=str(error))
    except OSError as error:
        return Measurement(error=f"it cannot be run: {error.strerror}")
    return Measurement(float(done.code))


def query(condition: PromqlCondition) -> Measurement:
    """Return the result of a query of Prometheus."""
    timeout = condition.timeout.total_seconds()
    try:
        status, content = within(timeout, lambda: _response(condition, timeout + 1))
    except TimeoutError:
        return Measurement(error=f"{_server(condition)} did not respond within {timeout:g} s")
    except OSError as error:
        # All errors of `requests` are of this kind. Their texts may have a password of the URL.
        return Measurement(error=f"{_server(condition)} cannot be reached: {_cause(error)}")
    return _parsed(status, content)


def _response(condition: PromqlCondition, timeout: float) -> tuple[int, bytes]:
    # Imported here, since it is slow and most deployments need it not.
    import requests

    url = f"{condition.server.rstrip('/')}/api/v1/query"
    with requests.post(
        url,
        data={"query": condition.promql},
        timeout=timeout,
        allow_redirects=False,
        auth=auth_of(url),
        stream=True,
    ) as response:
        return response.status_code, response.raw.read(_MAX_RESPONSE + 1, decode_content=True)


def _server(condition: PromqlCondition) -> str:
    """Return the server without a password."""
    found = urlsplit(condition.server)
    return f"{found.scheme}://{found.netloc.rpartition('@')[2]}"


def _cause(error: BaseException) -> str:
    """Return the reason of the system behind an error of the HTTP client, or the kind of the error."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        args = [each for each in seen.args if isinstance(each, BaseException)]
        reason = getattr(seen, "reason", None)
        inner = reason if isinstance(reason, BaseException) else args[0] if args else None
        seen = inner or seen.__cause__ or seen.__context__
    return type(error).__name__


def _parsed(status: int, content: bytes) -> Measurement:
    if len(content) > _MAX_RESPONSE:
        return Measurement(error="the response is longer than 1 MiB")
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "status" not in found:
        return Measurement(error=f"the response with status {status} is not one of Prometheus")
    if found["status"] != "success":
        return Measurement(error=f"Prometheus rejects it: {found.get('error', f'status {status}')}")
    return _number(found.get("data"))


def _number(data: Any) -> Measurement:
    """Return the number of a scalar, or of the only element of a vector."""
    try:
        kind, result = data["resultType"], data["result"]
        if kind == "vector":
            if len(result) != 1:
                count = "no element" if not result else f"{len(result)} elements"
                return Measurement(error=f"the result has {count}, and one is needed; aggregate it, such as by sum()")
            result = result[0]["value"]
        elif kind != "scalar":
            return Measurement(error=f"the result is a {kind}; write an expression with a scalar or a vector")
        return Measurement(float(result[1]))
    except (KeyError, IndexError, TypeError, ValueError):
        return Measurement(error="the response is not one of Prometheus")
