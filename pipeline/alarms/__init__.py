"""The statistics that compare a new release with the previous one while both receive traffic (pure)."""

from __future__ import annotations
