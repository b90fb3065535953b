"""Reporters send a run's events to other services. They are found through the entry points `pipeline.reporters`."""

from __future__ import annotations

from pipeline.reporters.report import Report
from pipeline.reporters.reporter import DeliveryFailed, Reporter, ResolveSecrets

__all__ = ["DeliveryFailed", "Report", "Reporter", "ResolveSecrets"]
