"""The live view of a run."""

from __future__ import annotations

import io
from functools import partial

import pytest
from rich.console import Console

from pipeline.base.home import Home
from pipeline.cli import live
from pipeline.cli.live import LiveView
from pipeline.events import Event
from tests.support.waiting import until


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what a terminal gets."""
    found = io.StringIO()
    monkeypatch.setattr(live, "Console", partial(Console, file=found, force_terminal=True, width=200))
    return found


def evaluated(condition: int, state: str, text: str) -> Event:
    fields = {"service": "web", "release": 5, "condition": condition, "state": state}
    return Event("alarm.evaluated", f"alarm of web: {state}, {text}", "shop", 1, fields)


def test_alarms(home: Home, screen: io.StringIO) -> None:
    """Each condition of `rollback_on` has one line with its latest numbers until the stage ends."""

    def drawn() -> str:
        """Return what is drawn from now on."""
        position = len(screen.getvalue())
        until(lambda: len(screen.getvalue()) > position, "the view is drawn again")
        return screen.getvalue()[position:]

    with LiveView(home, "shop") as view:
        view.on_event(Event("stage.started", "Deploy", "shop", 1, {"stage": "deploy"}))
        view.on_event(evaluated(1, "INSUFFICIENT_DATA", "17 more requests are needed"))
        view.on_event(evaluated(2, "OK", "restarts above 0: 0"))
        view.on_event(evaluated(1, "OK", "about 200 more requests"))
        lines = ("alarm of web: OK, about 200 more requests", "alarm of web: OK, restarts above 0: 0")
        until(lambda: all(line in frame for frame in [drawn()] for line in lines), "the alarms are drawn")
        assert "17 more" not in screen.getvalue()[screen.getvalue().rindex(lines[0]) :]
        view.on_event(Event("shift.mirrored", "no more copies", "shop", 1, {"service": "api"}))
        until(
            lambda: all(line in frame for frame in [drawn()] for line in lines), "the alarms of the other service stay"
        )
        view.on_event(Event("shift.mirrored", "no more copies", "shop", 1, {"service": "web"}))
        until(lambda: "alarm of" not in drawn(), "the alarms on copies are gone")
        view.on_event(evaluated(1, "OK", "about 100 more requests"))
        until(lambda: "alarm of web: OK, about 100 more requests" in drawn(), "the alarms on requests are drawn")
        view.on_event(Event("stage.failed", "Deploy failed", "shop", 1, {"stage": "deploy"}))
        until(lambda: "alarm of" not in drawn(), "the alarms are gone")
