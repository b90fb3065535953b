"""A page of the topology with many rules and targets, in a browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from playwright.sync_api import Browser

from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from tests.browser.world import World
from tests.support.browser import Visitor
from tests.support.ports import free_port
from tests.support.sight import Sight
from tests.support.waiting import until

COUNT = 1000
_OWNER, _GROUP = "large", "many"
_MOVES = 9


@contextmanager
def large_balancer(world: World) -> Iterator[None]:
    """Add a listener with many rules, and a group with many healthy targets, which are one server."""
    balancer, port = open_balancer(world.home.balancer), free_port()
    rules = [
        {"priority": number, "conditions": [{"path_pattern": [f"/{number}/*"]}], "action": {"forward": _GROUP}}
        for number in range(1, COUNT + 1)
    ]
    check = {"path": "/", "interval": "30s", "timeout": "20s", "healthy_threshold": 2, "unhealthy_threshold": 5}
    listener = {"port": free_port(), "rules": rules, "default_action": {"forward": _GROUP}}
    declared = {
        "target_groups": {_GROUP: {"port": port, "health_check": check, "deregistration_delay": "1h"}},
        "load_balancers": {_OWNER: {"scheme": "internal", "listeners": [listener]}},
    }
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(asyncio.start_server(_answer, "0.0.0.0", port, backlog=4096), loop).result()
    balancer.apply(_OWNER, Declaration.model_validate(declared))
    try:
        balancer.register(_OWNER, _GROUP, *(_target(number, port) for number in range(COUNT)))
        until(lambda: _healthy(world) == COUNT, "healthy targets", interval=0.5)
        yield
    finally:
        balancer.withdraw(_OWNER)
        loop.call_soon_threadsafe(loop.stop)


def move_times(browser: Browser, world: World) -> list[float]:
    """Take targets out one after the other. Return the milliseconds until the open page shows each."""
    visitor = Visitor(browser, world.url)
    try:
        visitor.log_in(world.login("ada"))
        page, balancer, found = visitor.open("/topology"), open_balancer(world.home.balancer), []
        for number in range(_MOVES):
            # A burst of changes would be shown by a single rendering.
            page.wait_for_timeout(1500)
            assert f"target-{number:04}" not in page.inner_text("main"), "a target is not healthy"
            sight = Sight(page, "main", f"target-{number:04}")
            balancer.deregister(_OWNER, _GROUP, f"target-{number:04}")
            begun = page.evaluate("() => Date.now() / 1000")
            found.append(max(0.0, sight.time() - begun) * 1000)
        return found
    finally:
        visitor.close()


def _target(number: int, port: int) -> Target:
    return Target(id=f"target-{number:04}", address=f"127.201.{number // 250}.{number % 250 + 1}", port=port)


def _healthy(world: World) -> int:
    balancer = open_balancer(world.home.balancer)
    balancer.reconcile(_OWNER, _GROUP)
    return sum(health.state == "healthy" for health in balancer.target_health(_OWNER, _GROUP))


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
    writer.close()
