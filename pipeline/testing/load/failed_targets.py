"""The targets of failed requests, by the balancer's access log."""

from __future__ import annotations

from pipeline.balancer.access import AccessLog, AccessRecord

_CLIENT_LEFT = 460


def failed_targets(log: AccessLog) -> list[str]:
    """Return the addresses of the targets of requests that got no regular response, since the last call.

    An address is empty where a request was sent to no target. Requests whose client left early count as failed.
    """
    records = [record for record in log.appended() if isinstance(record, AccessRecord)]
    return [(each.target or "").rpartition(":")[0] for each in records if _has_failed(each.elb_status)]


def _has_failed(status: int | None) -> bool:
    return status is None or status >= 500 or status == _CLIENT_LEFT
