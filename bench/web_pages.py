"""What open pages of the web interface cost, how soon a page paints, and how it copes with many targets and rules."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, StorageState

from bench.extent import Extent
from bench.figure import Figure
from bench.large_topology import COUNT, large_balancer, move_times
from bench.one_line import one_line
from bench.open_pages import cookie_of, open_pages
from bench.process import cpu
from bench.results import Results
from tests.browser.world import World
from tests.support.browser import Visitor, chromium

PAGES, RATE = 100, 50
_MAX_CPU, _MAX_BYTES, _MAX_PAINT, _MAX_MOVE = 3.0, 120.0, 150.0, 200.0
_WINDOW_TIME = 1.0
# A deployment that waits in its bake time, while requests come and alarms are evaluated.
_CANARY = "{type: canary, percent: 20, bake_time: 1h}"
_ALARMS = "rollback_on: {conditions: [{metric: http_5xx_ratio, worse_than_previous: true}]}"
# What people leave open, with how many of the pages each has.
_SHARES = {"/": 40, "/topology": 30, "/pipelines/shop/runs/2": 20, "/radiator": 10}
_PAINT = """() => new Promise(done => {
    const found = () => performance.getEntriesByName("first-contentful-paint")[0];
    const look = () => found() ? done(found().startTime) : requestAnimationFrame(look);
    look();
})"""
_TRANSFERRED = """() => [
    ...performance.getEntriesByType("navigation"),
    ...performance.getEntriesByType("resource").filter(each => !each.name.includes("/live/")),
].reduce((sum, each) => sum + each.transferSize, 0)"""


def measure(extent: Extent) -> Results:
    """Measure the daemon's CPU time with and without open pages, in turns, then the first paint of each page."""
    rounds, seconds, paints = extent.choose((8, 15.0, 15), (2, 5.0, 3))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, busy(Path(folder)) as world:
        costs = [_cost(world, seconds) for _ in range(rounds)]
        with chromium() as browser:
            sizes, warm, cold, line = _first_paints(browser, world, paints)
            with large_balancer(world):
                moves = move_times(browser, world)
    paints_found = f"sizes {sizes}, warm {warm}, cold {cold}, line {line}"
    print(f"costs {[round(cost, 2) for cost in costs]}, {paints_found}, moves {moves}", file=sys.stderr)
    figures = [
        Figure(f"{PAGES} open pages, % of one core", max(0.0, statistics.median(costs)), _MAX_CPU),
        Figure("the largest first paint, kB", max(sizes.values()) / 1000, _MAX_BYTES),
        Figure("the slowest first paint of a browser that has been here, ms", max(warm.values()), _MAX_PAINT),
        Figure("the slowest first paint of a new browser, ms", max(cold.values()), _MAX_PAINT),
        Figure(f"a move among {COUNT:,} targets and {COUNT:,} rules, ms", statistics.median(moves), _MAX_MOVE),
    ]
    return Results.judged(
        "The web interface",
        f"`pipeline serve --web` while a canary waits in its bake time, with alarms and {RATE} requests a second. The "
        f"CPU time is that of the daemon with {PAGES} open pages, less that without, in {rounds} rounds of "
        f"{seconds:g} s each. A first paint is that of Chromium on loopback: in a new profile without a cache, whose "
        f"bytes are those of the page with its style sheet and scripts, and in a tab of a profile that has the page in "
        f"its cache. The window has loaded its own address bar before. The times are medians of {paints}, in turns "
        f"with a page of one static line, which took {line:.0f} ms in a new profile. A move is a target that is "
        f"deregistered among {COUNT:,}, until the open topology shows it.",
        ("what", "result", "limit"),
        [(figure.name, figure.printed, f"{figure.limit:g}") for figure in figures],
        figures,
    )


@contextmanager
def busy(folder: Path) -> Iterator[World]:
    """Yield a shop with a canary that waits, under load."""
    world = World(folder)
    try:
        world.start()
        world.await_run(1)
        world.commit("Sell tea", version="2", strategy=_CANARY, web_extra=_ALARMS)
        with world.load(RATE):
            world.await_event("shift.step")
            yield world
    finally:
        world.remove()


def _cost(world: World, seconds: float) -> float:
    """Return the CPU time of open pages in percent of one core: that with them, less that without."""
    cookies = [cookie_of(world.login(name)) for name in ("ada", "grace", "linus", "margaret")]
    paths = [path for path, count in _SHARES.items() for _ in range(count * PAGES // 100)]
    without = _share(world, seconds)
    with open_pages(world.url, paths, cookies) as pages:
        time.sleep(1)
        cost = _share(world, seconds) - without
        assert pages.received, "the pages get nothing"
        assert not pages.ended, "a page lost its connection"
    return cost


def _share(world: World, seconds: float) -> float:
    before, started = cpu(world.pid), time.monotonic()
    time.sleep(seconds)
    return (cpu(world.pid) - before) / (time.monotonic() - started) * 100


def _first_paints(
    browser: Browser, world: World, count: int
) -> tuple[dict[str, int], dict[str, float], dict[str, float], float]:
    """Return the bytes of the first paint of each page, and its median time in milliseconds, warm and cold.

    The last is the median time of a page of one line in a new profile.
    """
    sizes, warm, cold, lines = dict[str, int](), dict[str, float](), dict[str, float](), list[float]()
    visitor = Visitor(browser, world.url)
    visitor.log_in(world.login("ada"))
    state = visitor.context.storage_state()
    visitor.close()
    with one_line() as line:
        for path in _SHARES:
            found = []
            for _ in range(count):
                found.append(_first_paint(browser, world.url, state, path))
                lines.append(_first_paint(browser, line, None, "/")[1])
            sizes[path] = max(size for size, _, _ in found)
            cold[path] = statistics.median(paint for _, paint, _ in found)
            warm[path] = statistics.median(paint for _, _, paint in found)
    return sizes, warm, cold, statistics.median(lines)


def _first_paint(browser: Browser, url: str, state: StorageState | None, path: str) -> tuple[int, float, float]:
    """Return the bytes and the milliseconds in a new profile, then the milliseconds of the next load."""
    visitor = Visitor(browser, url, storage_state=state)
    try:
        page = visitor.context.new_page()
        # Each profile has a window of its own. Its address bar is a page with 400 files, which takes the processor
        # for 170 ms. A user cannot type before.
        time.sleep(_WINDOW_TIME)
        page.goto(path)
        size, cold = int(page.evaluate(_TRANSFERRED)), float(page.evaluate(_PAINT))
        page.goto(path)
        return size, cold, float(page.evaluate(_PAINT))
    finally:
        visitor.close()
