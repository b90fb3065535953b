"""Lines of an access log, as `pipeline balancer log` prints them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.balancer.access import AccessEntry
from pipeline.balancer.telemetry.rendering import as_line

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def line(arrival: float, service: float, **fields: Any) -> str:
    """Return the entry of a request that arrived some seconds after `START` and took `service` seconds."""
    ended = START + timedelta(seconds=arrival + max(service, 0) + 0.002)
    return as_line(
        AccessEntry(
            **{
                "type": "http",
                "time": ended,
                "elb": "app/edge/shop",
                "client": "127.0.0.1:40000",
                "target": "127.0.0.1:8080",
                "request_processing_time": 0.001,
                "target_processing_time": float(service),
                "response_processing_time": 0.001,
                "elb_status_code": 200,
                "target_status_code": 200,
                "received_bytes": 100,
                "sent_bytes": 200,
                "request": 'GET http://shop.test:80/?q="a b" HTTP/1.1',
                "user_agent": 'a "browser" - - x.y',
                "ssl_cipher": None,
                "ssl_protocol": None,
                "target_group_arn": "shop.web",
                "trace_id": "Root=1-2-3",
                "domain_name": None,
                "matched_rule_priority": 0,
                "request_creation_time": START + timedelta(seconds=arrival),
                "actions_executed": "forward",
                "redirect_url": None,
                "error_reason": None,
                "classification": None,
                "classification_reason": None,
            }
            | fields
        )
    )


def text(lines: Iterable[str]) -> str:
    """Return the text of a log."""
    return "".join(f"{entry}\n" for entry in lines)
