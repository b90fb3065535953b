"""The runtime that runs a function in a container."""

from __future__ import annotations
