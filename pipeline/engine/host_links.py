"""The connections of a command or a loop to all hosts of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from pipeline.base.errors import EngineFault
from pipeline.engine.host_link import HostLink

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Answers(Generic[R]):
    """The answers of hosts by their name, and why the others did not answer."""

    found: Mapping[str, R]
    missing: Mapping[str, EngineFault]

    def check(self) -> None:
        """Raise `EngineFault` if no host has answered."""
        if self.missing and not self.found:
            raise next(iter(self.missing.values()))


class HostLinks(Generic[T]):
    """The hosts of a cluster. Safe from any thread.

    `silence` is how long a host may take to answer, its connection included.
    """

    def __init__(self, links: Sequence[HostLink[T]], silence: timedelta) -> None:
        self._links = {link.name: link for link in links}
        self._silence = silence.total_seconds()

    def ask(self, work: Callable[[T], R]) -> Answers[R]:
        """Ask all hosts at the same time."""
        asked = {name: link.ask(work) for name, link in self._links.items()}
        wait(asked.values(), self._silence)
        found: dict[str, R] = {}
        missing: dict[str, EngineFault] = {}
        for name, answer in asked.items():
            try:
                if answer.done():
                    found[name] = answer.result()
                else:
                    missing[name] = self._links[name].silent(answer, self._silence)
            except EngineFault as fault:
                missing[name] = fault
        return Answers(found, missing)

    def limited(self, host: str, work: Callable[[T], R], limit: timedelta = timedelta(0)) -> R:
        """Ask one host for work that takes at most `limit`. Raises `EngineFault` if it does not answer."""
        link, seconds = self._links[host], self._silence + limit.total_seconds()
        answer = link.ask(work)
        if not wait([answer], seconds).done:
            raise link.silent(answer, seconds)
        return answer.result()

    def call(self, host: str, work: Callable[[T], R]) -> R:
        """Call one host in this thread."""
        return self._links[host].call(work)

    def close(self) -> None:
        """Close the connections to all hosts. Safe to repeat."""
        for link in self._links.values():
            link.close()
