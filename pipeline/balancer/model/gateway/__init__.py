"""The parts of a gateway load balancer."""

from __future__ import annotations
