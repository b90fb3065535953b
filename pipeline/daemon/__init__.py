"""The resident process of `pipeline serve`."""

from __future__ import annotations
