"""Requests of two releases, as the access log has them."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.balancer.access import ForwardedRequest
from stages.deploy.release_windows import ReleaseTraffic

BEGAN = 1_900_000_000_000
"""Milliseconds: when the new release first received traffic."""
START = datetime.fromtimestamp(BEGAN / 1000, UTC)
TRAFFIC = ReleaseTraffic("shop.web.r", 5, "shop.web", "shop.web-next")
NEW, PREVIOUS = ("shop.web-next", "shop.web.r5.0a1b2c"), ("shop.web", "shop.web.r4.0a1b2c")


def request(
    ended: float,
    *,
    place: tuple[str, str | None] = NEW,
    status: int | None = 200,
    took: float = 0.02,
    listener: int = 8080,
    connect_errors: int = 0,
    is_from_target: bool = True,
    is_grpc: bool = False,
    answered: bool = True,
    error: str | None = None,
) -> ForwardedRequest:
    """Return a request that ended so many seconds after the start, and took so many."""
    end = BEGAN + round(ended * 1000)
    return ForwardedRequest(
        arrived=end - round(took * 1000),
        ended=end,
        listener=listener,
        group=place[0],
        target=place[1],
        status=status,
        is_from_target=is_from_target,
        response_time=round(took * 1000) if answered else None,
        connect_errors=connect_errors,
        is_grpc=is_grpc,
        error=error,
    )
