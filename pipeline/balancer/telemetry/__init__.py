"""What went through the load balancer: the access log as ELB writes it, and its metrics."""

from __future__ import annotations
