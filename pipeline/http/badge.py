"""The state of pipelines, as an SVG badge for a README and as XML for CCTray and other build monitors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.sax.saxutils import escape, quoteattr

from pipeline.store.records import Run, RunKind, RunState

# White text has enough contrast on each of them (WCAG AA).
_GREY = "#5b6470"
_COLOURS = {
    RunState.QUEUED: "#75610a",
    RunState.RUNNING: "#1565c0",
    RunState.SUCCEEDED: "#2a7a2f",
    RunState.FAILED: "#c0262d",
    RunState.ROLLED_BACK: "#a84a08",
    RunState.ROLLBACK_FAILED: "#8f1d3f",
    RunState.INTERRUPTED: "#a84a08",
}
_LABEL = "#3d444d"
_HEIGHT = 20
_PADDING = 6
# Approximate widths in Verdana at 11 pixels. The browser fits the text to the computed width.
_WIDTHS = (("fijlrtI.,:;'|!()[]{}/\\- ", 4.3), ("mwMW@%", 10.3), ("ABCDEFGHJKLNOPQRSTUVXYZ_&#+=<>~", 7.9))
_WIDTH = 6.8
_WIDE = 11.0
# Characters that XML cannot represent.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_STATUS = {
    RunState.SUCCEEDED: "Success",
    RunState.FAILED: "Failure",
    RunState.ROLLED_BACK: "Failure",
    RunState.ROLLBACK_FAILED: "Exception",
    RunState.INTERRUPTED: "Exception",
}
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def badge_svg(label: str, state: str) -> str:
    """Return an SVG image, 20 pixels high, with a label and the state of a run. An unknown state is grey."""
    label, words = _writable(label), _writable(state.replace("_", " "))
    left, right = _width(label), _width(words)
    colour = next((colour for known, colour in _COLOURS.items() if known == state), _GREY)
    title = f"{label}: {words}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{_HEIGHT}" '
        f'role="img" aria-label={quoteattr(title)}><title>{escape(title)}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="{_HEIGHT}" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="{_HEIGHT}" fill="{_LABEL}"/>'
        f'<rect x="{left}" width="{right}" height="{_HEIGHT}" fill="{colour}"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle" '
        f'aria-hidden="true">{_text(label, 0, left)}{_text(words, left, right)}</g></svg>\n'
    )


@dataclass(frozen=True)
class Project:
    """A pipeline in CCTray's terms. `url` is a page for people."""

    name: str
    activity: str
    status: str
    label: str
    built_at: datetime
    url: str

    @classmethod
    def from_runs(cls, name: str, runs: Sequence[Run], url: str) -> Project:
        """Return the project for the latest runs of a pipeline, newest first. Runs without a verdict are skipped."""
        states = {run.state for run in runs}
        building = RunState.RUNNING in states
        activity = "Building" if building else "CheckingModifications" if RunState.QUEUED in states else "Sleeping"
        last = next((run for run in runs if run.kind is RunKind.RUN and run.state in _STATUS), None)
        if last is None:
            return cls(name, activity, "Unknown", "", _NEVER, url)
        return cls(name, activity, _STATUS[last.state], str(last.number), last.finished_at or last.started_at, url)


def cc_xml(projects: Iterable[Project]) -> str:
    """Return the feed for CCTray, CCMenu and similar monitors."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Projects>\n{"".join(map(_project, projects))}</Projects>\n'


def _project(project: Project) -> str:
    attributes = {
        "name": project.name,
        "activity": project.activity,
        "lastBuildStatus": project.status,
        "lastBuildLabel": project.label,
        "lastBuildTime": project.built_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "webUrl": project.url,
    }
    return f"  <Project {' '.join(f'{key}={quoteattr(_writable(value))}' for key, value in attributes.items())}/>\n"


def _text(text: str, start: int, width: int) -> str:
    room = width - 2 * _PADDING
    fit = f' textLength="{room}" lengthAdjust="spacingAndGlyphs"' if text else ""
    return f'<text x="{start + width / 2:g}" y="14"{fit}>{escape(text)}</text>'


def _width(text: str) -> int:
    return round(sum(map(_character, text))) + 2 * _PADDING


def _character(character: str) -> float:
    if not character.isascii():
        return _WIDE
    return next((width for characters, width in _WIDTHS if character in characters), _WIDTH)


def _writable(text: str) -> str:
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)
