"""The load balancer: declared, run and changed from here. It imports nothing of the runner."""

from __future__ import annotations
