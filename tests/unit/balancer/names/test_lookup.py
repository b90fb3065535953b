"""The age of the names that queries see."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from pipeline.balancer.names.directory import Directory, Entry
from pipeline.balancer.names.lookup import Lookup
from pipeline.base.errors import BalancerFault


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time a test can advance."""

    passed = 0.0

    def time(self) -> float:
        return super().time() + self.passed


def run(test: Callable[[Loop], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Loop)

        async def main() -> None:
            await test(loop)

        runner.run(main())


class Reader:
    """Reads a new directory each time, or fails, or waits until it may continue."""

    def __init__(self) -> None:
        self.count = 0
        self.fails = False
        self.may_continue = threading.Event()
        self.may_continue.set()

    def read(self) -> Directory:
        self.may_continue.wait()
        if self.fails:
            raise BalancerFault("the registry is damaged")
        self.count += 1
        return Directory({f"read-{self.count}": Entry()})


async def name(lookup: Lookup) -> str | None:
    directory = await lookup.directory()
    return next(iter(directory.entries)) if directory else None


def test_the_names_are_read_at_most_once_a_second() -> None:
    """All queries of a second share one read, and without queries there is none."""
    reader = Reader()

    async def test(loop: Loop) -> None:
        lookup = Lookup(reader.read)
        assert reader.count == 0
        assert await asyncio.gather(*(name(lookup) for _ in range(50))) == ["read-1"] * 50
        loop.passed += 0.9
        assert await name(lookup) == "read-1"
        loop.passed += 3600
        assert await name(lookup) == "read-2"

    run(test)
    assert reader.count == 2


def test_a_slow_read_delays_no_query_for_long() -> None:
    """While a read hangs, queries get the former names, and no second read is started."""
    reader = Reader()

    async def test(loop: Loop) -> None:
        lookup = Lookup(reader.read, patience=0.01)
        assert await lookup.directory()
        reader.may_continue.clear()
        loop.passed += 5
        assert await asyncio.gather(name(lookup), name(lookup)) == ["read-1"] * 2
        assert await name(lookup) == "read-1"
        reader.may_continue.set()
        while await name(lookup) != "read-2":
            pass

    run(test)
    assert reader.count == 2


def test_a_failed_read_keeps_the_former_names(caplog: pytest.LogCaptureFixture) -> None:
    """The names stay if they cannot be read, which is reported once. Without former names there are none."""
    reader = Reader()

    async def test(loop: Loop) -> None:
        lookup = Lookup(reader.read)
        reader.fails = True
        assert await name(lookup) is None
        reader.fails = False
        loop.passed += 1
        assert await name(lookup) == "read-1"
        reader.fails = True
        for _ in range(3):
            loop.passed += 1
            assert await name(lookup) == "read-1"

    run(test)
    assert str(caplog.messages).count("the registry is damaged") == 2
