"""The runtime that container images with a function start."""

from __future__ import annotations
