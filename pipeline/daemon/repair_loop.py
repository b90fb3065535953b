"""Keeps what is deployed in service: looks every second, mends what is amiss, and tries again after a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pipeline.api import Upkeep
from pipeline.base.errors import Cancelled, PenstockError
from pipeline.events import Events
from pipeline.runner.context import Workshop
from pipeline.runner.deploy_lock import Turn
from pipeline.runner.stages import load_deployer

_LOOK = 1.0
# What could not be mended is tried again after 1, 2, 4 … seconds.
_LONGEST_WAIT = 300.0
_logger = logging.getLogger(__name__)


class Keeper:
    """The upkeep of one pipeline, in a thread. Gives way to deployments."""

    def __init__(self, workshop: Callable[[], Workshop], turn: Turn) -> None:
        self._workshop = workshop
        self._turn = turn
        self._stopping = threading.Event()
        self._known: Workshop | None = None
        self._upkeep: Upkeep | None = None
        self._told: list[str] = []
        self._failures = 0

    def work(self) -> None:
        """Until `stop`."""
        while not self._stopping.wait(self._pause()):
            try:
                self.look()
            except Exception:
                self._failures += 1
                _logger.exception("upkeep: a fault of Penstock itself")
        if self._upkeep is not None:
            self._upkeep.close()

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()

    def look(self) -> None:
        """Look once, and mend what is amiss if nobody deploys."""
        workshop = self._workshop()
        events = workshop.events()
        with self._turn.keep() as given_up:
            if given_up is None:
                return
            try:
                upkeep = self._of(workshop, events)
                amiss = upkeep.amiss()
            except PenstockError as error:
                self._tell_blind(events, f"cannot see what is deployed: {workshop.mask(error.message)}")
            else:
                self._keep(upkeep, amiss, events, given_up)

    def _tell_blind(self, events: Events, text: str) -> None:
        """Told once: Docker may be away for a night. It is looked for as often as ever."""
        if text not in self._told:
            events.emit("upkeep.failed", text)
            self._told = [text]

    def _keep(self, upkeep: Upkeep, amiss: list[str], events: Events, given_up: threading.Event) -> None:
        for text in amiss:
            if text not in self._told:
                events.emit("upkeep.found", text)
        try:
            if amiss:
                self._told = amiss
                upkeep.mend(given_up)
            if self._told:
                events.emit("upkeep.mended", "everything is as it should be again")
            self._told, self._failures = [], 0
        except Cancelled:
            events.emit("upkeep.stopped", "gives way to a deployment")
        except PenstockError as error:
            self._failures += 1
            text = self._workshop().mask(error.message)
            events.emit("upkeep.failed", f"{text}; tried again in {self._pause():g} s")

    def _of(self, workshop: Workshop, events: Events) -> Upkeep:
        """The upkeep of the served file as it is now."""
        if self._upkeep is None or self._known is not workshop:
            if self._upkeep is not None:
                self._upkeep.close()
            self._upkeep, self._known = load_deployer().upkeep(workshop.context(events)), workshop
        return self._upkeep

    def _pause(self) -> float:
        return float(min(_LOOK * 2 ** min(self._failures, 16), _LONGEST_WAIT))
