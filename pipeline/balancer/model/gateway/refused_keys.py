"""Keys of other load balancers that mean nothing for a gateway load balancer."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.base.errors import FieldError, refuse


def refuse_keys(data: object, reasons: Mapping[str, str]) -> None:
    """Raise an error for each key of a section that has a reason. Anything else than a section has no keys."""
    keys = data if isinstance(data, dict) else {}
    refuse(FieldError(key, f"must be left out: {reason}") for key, reason in reasons.items() if key in keys)
