"""Functions behind a load balancer: a request becomes ELB's event, what the function returns becomes the answer."""

from __future__ import annotations
