"""The parts of a network load balancer."""

from __future__ import annotations
