"""The load balancer: its declaration, its state and its data plane. It imports nothing from the runner."""

from __future__ import annotations
