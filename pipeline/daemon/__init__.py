"""The daemon, the process of `pipeline serve`."""

from __future__ import annotations
