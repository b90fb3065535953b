"""The colours of targets' states on a terminal."""

from __future__ import annotations

TARGET_STYLES = {
    "healthy": "green",
    "initial": "cyan",
    "draining": "yellow",
    "unhealthy": "red",
    "unhealthy.draining": "red",
    "unused": "dim",
}
