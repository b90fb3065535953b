"""Penstock: a commit becomes a tested image and rolls out behind a load balancer, and nothing is lost."""

from __future__ import annotations

__version__ = "0.2.0"
