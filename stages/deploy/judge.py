"""Who judges a new release while it receives traffic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.alarms.verdict import Verdict
from pipeline.config.service_spec import ServiceSpec
from stages.deploy.paired_targets import PairedHealth


@dataclass(frozen=True)
class Judgement:
    """The verdicts on a new release at one moment. `alarm` is the text that rolls it back, or None.

    `insufficient_data` says what follows at the end of the last bake time if a condition had too few requests.
    `is_complete` is False if there were more records than one look takes. The next looks take the rest.
    """

    verdicts: tuple[Verdict, ...] = ()
    alarm: str | None = None
    insufficient_data: Literal["promote", "rollback"] = "promote"
    is_complete: bool = True


class Judge(Protocol):
    """Judges the new release of one deployment of a service.

    `look` is called about once a second while traffic moves and bakes, by one thread. It counts the responses since the
    release first received traffic in this deployment, also those from before a kill. It never waits for long.
    """

    def look(self) -> Judgement:
        """Return the verdicts at this moment."""


class Mirroring(Judge, Protocol):
    """Judges a new release by copies of requests, which each look sends. `stop` ends it."""

    def summary(self) -> str:
        """Return the number of copies so far, and how the responses of both releases differ."""

    def stop(self) -> None:
        """Send no more copies."""


class NoJudge:
    """The judge of a service without `rollback_on`."""

    def look(self) -> Judgement:
        """Return no verdict."""
        return Judgement()


class JudgeFactory(Protocol):
    """Makes the judge of a new release of a service."""

    def __call__(self, spec: ServiceSpec, release: int) -> Judge:
        """Return the judge. Called when the release first receives traffic, and again after a kill."""


class MirroringFactory(Protocol):
    """Makes what mirrors the requests of a service whose strategy has `mirror`."""

    def __call__(self, spec: ServiceSpec, release: int, health: Callable[[], PairedHealth]) -> Mirroring:
        """Return it. `health` returns the health of the targets of both releases now."""


def no_judge(spec: ServiceSpec, release: int) -> Judge:  # noqa: ARG001
    """Return a judge that never raises an alarm."""
    return NoJudge()
