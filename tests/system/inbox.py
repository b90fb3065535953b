"""A webhook inbox that records deliveries."""

from __future__ import annotations

import threading

from pipeline.config.triggers import Forge
from pipeline.triggers.webhook import Delivery
from tests.support.waiting import DEADLINE
from tests.support.webhooks.deliveries import SECRET, SIGNING_TOKEN
from tests.support.webhooks.invalid_requests import FORGES


class RecordingInbox:
    """An inbox that keeps each delivery and fails or waits if a test says so."""

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str], str] = {("shop", forge): SECRET for forge in FORGES}
        self.secrets |= {("other", forge): "somebody else's" for forge in FORGES}
        self.secrets |= {("empty", forge): "" for forge in FORGES}
        self.secrets["signed", "gitlab"] = SIGNING_TOKEN
        self.secrets["slow", "github"] = SECRET
        self.arrived: list[tuple[str, Delivery]] = []
        self.failure: Exception | None = None
        self.unreadable: Exception | None = None
        self.released = threading.Event()
        self._known: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def secret(self, pipeline: str, forge: Forge) -> str | None:
        if self.unreadable:
            raise self.unreadable
        return self.secrets.get((pipeline, forge))

    def is_replay(self, pipeline: str, digest: str) -> bool:
        with self._lock:
            known = (pipeline, digest) in self._known
            self._known.add((pipeline, digest))
            return known

    def delete(self, pipeline: str, digest: str) -> None:
        with self._lock:
            self._known.discard((pipeline, digest))

    def accept(self, pipeline: str, delivery: Delivery) -> None:
        if pipeline == "slow":
            self.released.wait(DEADLINE)
        if self.failure:
            raise self.failure
        with self._lock:
            self.arrived.append((pipeline, delivery))
