"""The runtime of several hosts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from pipeline.base.clock import SYSTEM, Clock
from pipeline.base.errors import EngineFault, HostLost, PortTaken, StageFailed
from pipeline.engine.interfaces import Engine
from pipeline.engine.placement import Candidate, Placement, choose_host
from pipeline.engine.reachable_host import ReachableHost
from pipeline.engine.runtime import Replica, ReplicaEnd, ReplicaSpec, RestartPolicy, Runtime, StopResult

T = TypeVar("T")
_POLL_INTERVAL = timedelta(milliseconds=50)
# Of replicas that are being replaced. No other one has it.
_OTHER_TEMPLATE = ""


@dataclass
class _Start:
    """A start of a replica by this process. `in_progress`: the replica may not be listed yet."""

    pipeline: str
    service: str
    template: str
    host: str
    in_progress: bool = True


class HostsRuntime:
    """A runtime that places each replica on one of several hosts. See `Runtime`.

    A host that does not answer lets `list` raise `EngineFault`, until it is lost. Then its replicas are not listed, and
    calls for them do nothing, until it is back. The zone of a replica is that of its host. `silence` is how long a host
    may take to answer: a slower one is lost as one that does not answer, and back once it lists its replicas in half of
    that time. `taking` names the hosts that take replicas, None for all: those on the others are leaving.
    `before_start` is called with the name and the engine of the chosen host before each start, and raises as one.
    """

    def __init__(
        self,
        hosts: Sequence[ReachableHost],
        placement: Placement = Placement.SPREAD,
        *,
        taking: Collection[str] | None = None,
        before_start: Callable[[str, Engine, ReplicaSpec], object] = lambda *_: None,
        silence: timedelta = timedelta(seconds=5),
        clock: Clock = SYSTEM,
    ) -> None:
        self._hosts = {host.name: host for host in hosts}
        self._taking = frozenset(self._hosts if taking is None else taking)
        self._before_start = before_start
        self._placement = placement
        self._silence = silence.total_seconds()
        self._clock = clock
        self._lock = threading.Lock()
        # Held while a host is chosen, which takes a list of the replicas.
        self._placing = threading.Lock()
        self._prepared: set[str] = set()
        # The pipeline whose replicas were asked for last. Those of another one may take a host less time to list.
        self._asked_for = ""
        # The host of each replica as listed last, by pipeline.
        self._listed: dict[str, dict[str, str]] = {}
        self._started: dict[str, _Start] = {}
        # What was absent from the last list of a thread: a host may be back by now.
        self._last = threading.local()

    @property
    def lost(self) -> tuple[str, ...]:
        """The names of the hosts whose replicas the last `list` of this thread lacks. Before one, those lost now.

        Once a call fails because all are lost, they are those.
        """
        lost: tuple[str, ...] | None = getattr(self._last, "lost", None)
        return self._lost_now() if lost is None else lost

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines of the hosts that answer."""
        found = {host.name: host.engine for host in self._hosts.values()}
        return {name: engine for name, engine in found.items() if engine is not None}

    def place_on(self, names: Collection[str]) -> None:
        """Let these hosts take replicas, and no others. `Replica.is_leaving` is of the others."""
        self._taking = frozenset(names)

    def connect(self) -> None:
        """Wait until each host has answered or is lost. Raises `EngineFault` if all are lost."""
        hosts = self._hosts.values()
        while waiting := [host for host in hosts if not host.answers and not host.is_lost]:
            self._probe(waiting)
            if not all(host.answers for host in waiting):
                self._clock.wait(threading.Event(), _POLL_INTERVAL)
        if all(host.is_lost for host in hosts):
            raise self._all_lost()

    def check(self) -> None:
        """Try each host again, and wait as `connect`."""
        self._probe(self._hosts.values())
        self.connect()

    def prepare(self, pipeline: str) -> None:
        """Create the pipeline's network on every host that takes replicas.

        On a host that is lost, it is created when it is back.
        """
        with self._lock:
            self._prepared.add(pipeline)
            self._asked_for = pipeline
        self.connect()
        if any(not self._hosts[name].is_lost for name in self._taking):
            self._ask(lambda runtime: runtime.prepare(pipeline), self._taking)

    def list(self, pipeline: str) -> tuple[Replica, ...]:
        """Return every replica on the hosts that are not lost. The hosts are asked at the same time."""
        self._asked_for = pipeline
        answers = self._ask(lambda runtime: runtime.list(pipeline))
        found = self._found(answers)
        asked = {host.name for host, _ in answers}
        self._last.lost = tuple(name for name in self._hosts if name not in asked)
        with self._lock:
            listed = self._listed[pipeline] = {replica.name: replica.host for replica in found}
            gone = [name for name, start in self._started.items() if _is_gone(start, pipeline, asked)]
            for name in gone:
                if name not in listed:
                    del self._started[name]
        return found

    def start(self, spec: ReplicaSpec) -> None:
        """Start a replica on the host that the placement chooses, or where it was started before.

        `spec.zone` is the zone of the host, unless no host of it takes replicas and answers: then the replica has the
        zone of another one. Raises `EngineFault` if there is none, or if it was started on a host that is lost.
        """
        host = self._hosts[self._place(spec)]
        try:
            if (engine := host.engine) is None:
                # Whether it has the image is not known.
                raise host.fault
            self._before_start(host.name, engine, spec)
            host.call(lambda runtime: runtime.start(replace(spec, zone=host.zone)))
        except (StageFailed, PortTaken):
            # Nothing is left of it, so it may be started elsewhere.
            with self._lock:
                self._started.pop(spec.name, None)
            raise
        finally:
            with self._lock:
                if started := self._started.get(spec.name):
                    started.in_progress = False

    def set_restart_policy(self, name: str, policy: RestartPolicy) -> None:
        """Set what happens when the replica's process exits."""
        self._call(name, lambda runtime: runtime.set_restart_policy(name, policy), None)

    def stop(self, name: str, grace: timedelta) -> StopResult:
        """Send SIGTERM, and SIGKILL after `grace`. Returns when the process has exited."""
        return self._call(name, lambda runtime: runtime.stop(name, grace), StopResult.NOT_RUNNING)

    def remove(self, name: str) -> None:
        """Remove a replica, running or not. One on a lost host is listed again when the host is back."""
        self._call(name, lambda runtime: runtime.remove(name), None)

    def ended(self, name: str) -> ReplicaEnd | None:
        """Return how the replica's last process ended, or None if the replica is gone or its host is lost."""
        return self._call(name, lambda runtime: runtime.ended(name), None)

    def tail(self, name: str, lines: int = 20) -> tuple[str, ...]:
        """Return the last lines of output, or nothing if the replica is gone or its host is lost."""
        return self._call(name, lambda runtime: runtime.tail(name, lines), ())

    def started_on(self, name: str) -> str | None:
        """Return the host on which this object has last started a replica, None if it has not."""
        with self._lock:
            start = self._started.get(name)
        return start.host if start else None

    def is_lost(self, host: str) -> bool:
        """Return whether a host is lost now."""
        return self._hosts[host].is_lost

    def clear(self, pipeline: str) -> None:
        """Remove the pipeline's networks. Raises `HostLost` if a host is lost, after the others are cleared."""
        with self._lock:
            self._prepared.discard(pipeline)
        self._ask(lambda runtime: runtime.clear(pipeline))
        if lost := next((host for host in self._hosts.values() if not host.answers), None):
            raise HostLost(
                f"the network on host {lost.name} stays: the host is lost",
                hint="repeat the command when it is back, or remove its replicas and the network there",
            )

    def close(self) -> None:
        """Close the connections to all hosts."""
        for host in self._hosts.values():
            host.close()

    def _prepare(self, name: str, runtime: Runtime) -> None:
        """Prepare a host that is reached for the first time, or again. It answers if it can list replicas."""
        with self._lock:
            pipelines = sorted(self._prepared)
        for pipeline in pipelines if name in self._taking else ():
            runtime.prepare(pipeline)
        runtime.list(self._asked_for)

    def _ask(
        self, work: Callable[[Runtime], T], names: Collection[str] | None = None
    ) -> tuple[tuple[ReachableHost, T], ...]:
        """Return the answers of the hosts that are not lost. Raises `EngineFault` if one of them does not answer.

        `names` restricts them.
        """
        hosts = [host for name, host in self._hosts.items() if names is None or name in names]
        self._probe([host for host in hosts if not host.answers])
        usable = [host for host in hosts if not host.is_lost]
        for host in usable:
            if not host.answers:
                raise host.fault
        if not usable:
            raise self._all_lost()
        asked = [(host, host.ask(work)) for host in usable]
        pending = wait([answer for _, answer in asked], self._silence).not_done
        for host, answer in asked:
            if answer in pending:
                raise host.silent(self._silence)
        return tuple((host, answer.result()) for host, answer in asked)

    def _probe(self, hosts: Iterable[ReachableHost]) -> None:
        """Try to reach hosts that do not answer, and wait for those that are not lost: a single failure is no loss.

        Raises `ConfigError` if the address of one is invalid.
        """
        probes = {host.name: host.probe(partial(self._prepare, host.name), self._silence) for host in hosts}
        waited = [probe for name, probe in probes.items() if not self._hosts[name].is_lost]
        for probe in wait(waited, self._silence).done:
            probe.result()

    def _found(self, answers: Sequence[tuple[ReachableHost, Sequence[Replica]]]) -> tuple[Replica, ...]:
        """Return each replica once. If two hosts are the same engine, it is on the one that takes replicas."""
        taking, found = self._taking, dict[str, Replica]()
        for host, replicas in sorted(answers, key=lambda answer: answer[0].name not in taking):
            for replica in replicas:
                found.setdefault(replica.name, _on(host, replica, is_leaving=host.name not in taking))
        return tuple(found.values())

    def _place(self, spec: ReplicaSpec) -> str:
        """Return the host of a replica that is about to be started, and note the start."""
        with self._lock:
            known = self._started.get(spec.name)
        if known and self._hosts[known.host].is_lost:
            raise EngineFault(f"{spec.name} was started on host {known.host}, which is lost")
        if known:
            known.in_progress = True
            return known.host
        with self._placing:
            with self._lock:
                # A start that returns from here on may not be in the list.
                starting = {name: start for name, start in self._started.items() if start.in_progress}
            replicas = self.list(spec.pipeline)
            listed = next((each.host for each in replicas if each.name == spec.name), None)
            host = listed or self._choose(spec, replicas, starting)
            with self._lock:
                self._started[spec.name] = _Start(spec.pipeline, spec.service, spec.template, host)
        return host

    def _choose(self, spec: ReplicaSpec, replicas: Iterable[Replica], starting: Mapping[str, _Start]) -> str:
        """Choose by the replicas of the service that run, and those whose start is in progress."""
        there = {
            name: (start.host, start.template)
            for name, start in starting.items()
            if (start.pipeline, start.service) == (spec.pipeline, spec.service)
        }
        # One that has exited is about to be replaced.
        running = [each for each in replicas if each.service == spec.service and each.running]
        there |= {each.name: (each.host, each.template) for each in running}
        there |= {name: (there[name][0], _OTHER_TEMPLATE) for name in spec.outgoing & there.keys()}
        places = [*there.values()]
        candidates = [
            Candidate(
                host.name,
                host.zone,
                equal=places.count((host.name, spec.template)),
                all=sum(place == host.name for place, _ in places),
                is_lost=host.is_lost,
            )
            for host in self._hosts.values()
            if host.name in self._taking
        ]
        chosen = choose_host(candidates, self._placement, spec.zone) or choose_host(candidates, self._placement)
        if chosen is None:
            raise EngineFault(
                f"{spec.name} cannot be placed: no host that takes replicas answers",
                hint="`pipeline node list` shows the hosts; `pipeline node resume` lets one take replicas again",
            )
        return chosen

    def _call(self, name: str, work: Callable[[Runtime], T], absent: T) -> T:
        """Call the host of a replica. Returns `absent` if no host has it."""
        with self._lock:
            hosts = [self._started[name].host] if name in self._started else []
            hosts += [listed[name] for listed in self._listed.values() if name in listed]
        host = self._hosts[hosts[0]] if hosts else self._search(name)
        return absent if host is None or host.is_lost else host.call(work)

    def _search(self, name: str) -> ReachableHost | None:
        answers = self._ask(lambda runtime: runtime.ended(name))
        return next((host for host, end in answers if end is not None), None)

    def _lost_now(self) -> tuple[str, ...]:
        return tuple(host.name for host in self._hosts.values() if host.is_lost)

    def _all_lost(self) -> EngineFault:
        # The last list is of no use to the one who goes on without the hosts.
        self._last.lost = self._lost_now()
        first = next(iter(self._hosts.values()))
        return EngineFault(f"all hosts are lost; {first.fault.message}", hint=first.fault.hint)


def _is_gone(start: _Start, pipeline: str, asked: set[str]) -> bool:
    """Return whether a start is over, so that its replica is gone if its host does not list it."""
    return not start.in_progress and start.pipeline == pipeline and start.host in asked


def _on(host: ReachableHost, replica: Replica, *, is_leaving: bool) -> Replica:
    """Return a replica with the zone of its host, which may have changed since it was started."""
    if (replica.host, replica.zone, replica.is_leaving) == (host.name, host.zone, is_leaving):
        return replica
    return replace(replica, host=host.name, zone=host.zone, is_leaving=is_leaving)
