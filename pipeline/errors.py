"""The errors that users of the balancer and authors of plug-ins meet. See `pipeline.base.errors`."""

from __future__ import annotations

from pipeline.base.errors import (
    BalancerFault,
    Cancelled,
    ConfigError,
    EngineFault,
    PenstockError,
    StageFailed,
    SystemFault,
)

__all__ = ["BalancerFault", "Cancelled", "ConfigError", "EngineFault", "PenstockError", "StageFailed", "SystemFault"]
