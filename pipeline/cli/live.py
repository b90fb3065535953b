"""The live view: stages with their durations, targets with their states, and the latest events."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.balancer.model import TargetHealth
from pipeline.balancer.planes import open_balancer
from pipeline.base.errors import SystemFault
from pipeline.base.home import Home
from pipeline.cli.output import clock
from pipeline.cli.target_styles import TARGET_STYLES
from pipeline.event_kinds import EventKind
from pipeline.events import Event

_TRANSIENT = frozenset({"container", "target", "stage", "alarm"})
_SHOWN = frozenset({EventKind.STAGE_FINISHED, EventKind.TARGET_REQUESTS_ABORTED})


class LiveView:
    """Refreshes four times a second. Important events stay above the view as lines."""

    def __init__(self, home: Home, pipeline: str, extra: Callable[[], str] = lambda: "") -> None:
        self._balancer = open_balancer(home.balancer)
        self._pipeline = pipeline
        self._extra = extra
        self._stages: dict[str, tuple[float, float | None, str]] = {}
        self._alarms: dict[tuple[object, object], str] = {}
        self._recent: tuple[Event, ...] = ()
        self._spinner = Spinner("dots")
        self._console = Console(highlight=False)
        self._live = Live(get_renderable=self._draw, console=self._console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def on_event(self, event: Event) -> None:
        """Update the view with an event."""
        stage = str(event.fields.get("stage", ""))
        if event.kind == EventKind.RUN_STARTED:
            self._stages.clear()
        if event.kind == EventKind.STAGE_STARTED:
            self._stages[stage] = (time.monotonic(), None, "")
        elif event.kind in (EventKind.STAGE_FINISHED, EventKind.STAGE_FAILED) and stage in self._stages:
            began = self._stages[stage][0]
            self._stages[stage] = (
                began,
                time.monotonic() - began,
                "✓" if event.kind == EventKind.STAGE_FINISHED else "✗",
            )
        self._update_alarms(event)
        # Replaced, not changed, since another thread may be drawing it.
        if event.kind != EventKind.ALARM_EVALUATED:
            self._recent = (*self._recent, event)[-4:]
        if event.kind.partition(".")[0] not in _TRANSIENT or event.kind in _SHOWN:
            self._console.print(f"{clock(event.at)}  {event.message}", markup=False)

    def _update_alarms(self, event: Event) -> None:
        """Keep the latest line of each condition of `rollback_on` until its stage ends."""
        if event.kind == EventKind.ALARM_EVALUATED:
            key = (event.fields.get("service"), event.fields.get("condition"))
            self._alarms = {**self._alarms, key: event.message}
        elif event.kind == EventKind.SHIFT_MIRRORED:
            # The conditions on copies are others than those that follow.
            service = event.fields.get("service")
            self._alarms = {key: text for key, text in self._alarms.items() if key[0] != service}
        elif event.kind in (EventKind.STAGE_FINISHED, EventKind.STAGE_FAILED, EventKind.DEPLOYMENT_FAILED):
            self._alarms = {}

    def _draw(self) -> Group:
        stages = Table.grid(padding=(0, 2))
        for name, (began, took, mark) in dict(self._stages).items():
            seconds = time.monotonic() - began if took is None else took
            stages.add_row(Text(mark) if mark else self._spinner, name.capitalize(), f"{seconds:.1f} s")
        targets = Table.grid(padding=(0, 2))
        for health in self._targets():
            flight = f"{health.in_flight} in flight" if health.in_flight else ""
            state = Text(str(health.state), style=TARGET_STYLES.get(health.state, ""))
            targets.add_row("  ", health.target.id, state, flight, Text(health.description, style="dim"))
        alarms = [Text(f"  {text}") for _, text in sorted(self._alarms.items(), key=str)]
        recent = [Text(f"{clock(e.at)}  {e.message}", style="dim") for e in self._recent]
        extra = self._extra()
        return Group(stages, targets, *alarms, *recent, *([Text(extra, style="bold")] if extra else []))

    def _targets(self) -> list[TargetHealth]:
        """Return every target of the pipeline, or none if the balancer fails. The run itself reports the fault."""
        try:
            declared = self._balancer.declaration(self._pipeline)
            groups = declared.target_groups if declared else ()
            return [h for group in groups for h in self._balancer.target_health(self._pipeline, group)]
        except SystemFault:
            return []
