"""The Deploy stage."""

from __future__ import annotations
