"""Reporters: they tell others what became of a run. Found through the entry-point group `pipeline.reporters`."""

from __future__ import annotations

from pipeline.reporters.report import Report
from pipeline.reporters.reporter import DeliveryFailed, Reporter, ResolveSecrets

__all__ = ["DeliveryFailed", "Report", "Reporter", "ResolveSecrets"]
