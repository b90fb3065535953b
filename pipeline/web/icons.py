"""The state of something as a shape, a word and a colour. None of them stands alone."""

from __future__ import annotations

from markupsafe import Markup

from pipeline.web.svg import svg

# Each a different shape, so that it is known without its colour. The box is 16 by 16.
_SHAPES = {
    "good": "M8 1a7 7 0 1 0 .01 0zM6.8 11.6 3.6 8.4l1.2-1.2 2 2 4.4-4.4 1.2 1.2z",
    "bad": "M5 1h6l4 4v6l-4 4H5l-4-4V5zM4 5 7 8 4 11l1 1 3-3 3 3 1-1-3-3 3-3-1-1-3 3-3-3z",
    "warning": "M8 1l7.5 14H.5zM7.1 6v4.5h1.8V6zm0 5.7v1.8h1.8v-1.8z",
    "busy": "M8 1a7 7 0 0 1 7 7h-2.4A4.6 4.6 0 0 0 8 3.4zM1 8a7 7 0 0 0 7 7v-2.4A4.6 4.6 0 0 1 3.4 8z",
    "waiting": "M3 1h10v3L9.5 8 13 12v3H3v-3l3.5-4L3 4z",
    "leaving": "M1 6.5h8V3l6 5-6 5V9.5H1z",
    "off": "M8 1a7 7 0 1 0 .01 0zm0 2.2a4.8 4.8 0 1 1-.01 0z",
}
_KINDS = {
    "good": ("healthy", "succeeded", "active", "enabled", "granted", "ok", "complete", "running container"),
    "bad": (
        "unhealthy",
        "failed",
        "rollback_failed",
        "rejected",
        "timed_out",
        "lost",
        "broken",
        "exited",
        "unhealthy.draining",
    ),
    "warning": ("degraded", "rolled_back", "interrupted", "repairing", "alarm", "suspended", "disabled"),
    "busy": ("running", "initial", "starting", "deploying", "in_progress"),
    "waiting": ("queued", "waiting", "approval", "paused", "held"),
    "leaving": ("draining", "stopping", "leaving"),
    "off": ("unused", "unavailable", "cancelled", "superseded", "skipped", "stopped", "retired", "unknown"),
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words}


def kind_of(state: str) -> str:
    """Return the kind of a state: good, bad, warning, busy, waiting, leaving or off. It is a class in `page.css`."""
    return _KIND_OF.get(state.lower(), "off")


def shape(state: str, size: float = 16, **attributes: object) -> Markup:
    """Return the shape of a state, without its word. `attributes` are those of SVG, such as `x` and `y`."""
    path = svg("path", d=_SHAPES[kind_of(state)], fill_rule="evenodd")
    return svg(
        "svg", path, viewBox="0 0 16 16", width=size, height=size, class_=f"shape {kind_of(state)}", **attributes
    )


def icon(state: str, word: str = "") -> Markup:
    """Return a state with its shape and its word, by default the state itself."""
    shown = word or state.replace("_", " ")
    return svg("span", shape(state, aria_hidden="true"), " ", shown, class_=f"state {kind_of(state)}")
