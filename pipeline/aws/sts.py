"""STS: who a client is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.aws.service import Call, Service


def sts_service() -> Service:
    """Return the service. Roles, sessions and federation have no meaning here."""
    return Service("sts", "2011-06-15", "sts", {"GetCallerIdentity": _caller_identity})


def _caller_identity(call: Call) -> Mapping[str, Any]:
    return {
        "Account": call.account,
        "Arn": f"arn:aws:iam::{call.account}:user/{call.owner}",
        "UserId": f"AIDA{call.owner.upper()}",
    }
