"""Hooks that run while the new release gets requests: its alarms and its health are watched, and end them."""

from __future__ import annotations

import json
import pathlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from pipeline.api import StageContext
from pipeline.base.errors import Cancelled, EngineFault, RolledBack, StageFailed, StoreFault
from pipeline.config.service_spec import ServiceSpec
from pipeline.engine.container import ContainerSpec
from pipeline.events import Event
from pipeline.runner.deployment_answer import promote
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from stages.deploy.hook_watch import HookWatch
from stages.deploy.hooks import lifecycle_hooks
from stages.deploy.judge import Judgement
from stages.deploy.lifecycle import Lifecycle, LifecycleEvent
from stages.deploy.stored_progress import StoredProgress
from tests.support.waiting import DEADLINE, until
from tests.unit.deploy.shifts import Shop

ALARM = "http_5xx_ratio 12 % (24 of 200), limit 5 %"
STRATEGIES = {
    "canary": "{type: canary, percent: 10, bake_time: 30s}",
    "linear": "{type: linear, step_percent: 50, step_bake_time: 30s}",
    "blue_green": "{type: blue_green, bake_time: 30s}",
    "all_at_once": "all_at_once",
    "rolling": "{type: rolling, bake_time: 30s}",
}
PAUSE = {"pause": True, "timeout": "24h"}
# Starts a program of its own, tells both numbers, and sleeps.
FAMILY = """\
import os, subprocess, time
child = subprocess.Popen(["sleep", "999"])
print("ready", os.getpid(), child.pid, flush=True)
time.sleep(999)
"""
SECOND = timedelta(seconds=1)


class HookedShop(Shop):
    """A shop with the hooks of its configuration. `on_ready` is called when a hook prints that it is ready."""

    def __init__(self, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(context, monkeypatch)
        self.engine = FakeEngine(program=self._program)
        self.engine.images.add("sha256:b")
        self.engine.networks.ensure("shop")
        self.ready: list[str] = []
        self.shares_at_end: list[dict[str, float]] = []
        self.listeners: dict[str, Callable[[], object]] = {}

    def _program(self, _: ContainerSpec) -> Program:
        return Program(lines=("ready",))

    def _hooks(self, spec: ServiceSpec, release: int) -> Lifecycle:
        return lifecycle_hooks(self.hook_context, self.engine, spec, release)

    def context(self) -> StageContext:
        """Return the context of a new process, whose log is this object."""
        self.hook_context = replace(super().context(), log=self)
        self.hook_context.events.subscribe(self._listen)
        return self.hook_context

    def _listen(self, event: Event) -> None:
        self.listeners.get(event.kind, lambda: None)()

    def line(self, stage: str, text: str) -> None:
        """Take a line of the run's log."""
        if stage == "hook" and text.startswith("ready"):
            self.ready.append(text)
            self.raise_alarm()
        if stage == "hook" and text == "ending":
            self.shares_at_end.append(self.shares())

    def raise_alarm(self) -> None:
        """Let the judge find an alarm at its next look, which is due."""
        self.judgement = Judgement(alarm=ALARM)
        self.clock.advance(2 * SECOND)

    def use(self, *hooks: dict[str, object], more: str = "") -> None:
        """Configure hooks of AfterAllowTraffic."""
        self.settings = f", hooks: {json.dumps({'AfterAllowTraffic': list(hooks)})}{more}"

    def new(self) -> list[str]:
        """Return the containers of the new release that run."""
        return sorted(n for n in self.runtime.running if self.runtime.specs[n].image == "sha256:b")

    def waiting(self) -> list[str]:
        """Return what the deployment waits for."""
        return [wait.name for wait in self._context.store.deployment_answers.waiting("shop")]


Shops = Callable[[str], HookedShop]


@pytest.fixture
def shops(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shops]:
    """Make a shop with a strategy, whose release 1 of commit a is active."""
    with ExitStack() as running:

        def make(strategy: str) -> HookedShop:
            shop = HookedShop(context, monkeypatch)
            shop.strategy = STRATEGIES.get(strategy, strategy)
            running.enter_context(shop.running())
            shop.deploy("a")
            shop.events.clear()
            return shop

        yield make


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The URL of a server that takes connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def assert_alarm_rolls_back(shop: HookedShop) -> None:
    """The deployment ends by the alarm, not by the hook that it ended, and the previous release is back."""
    with pytest.raises(RolledBack) as error:
        shop.deploy("b")
    assert error.value.message == f"{ALARM}; release 1 is active again"
    shop.assert_at_home("a")
    assert shop.waiting() == []
    assert shop.kinds("hook.finished") == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_alarm_ends_a_pause(strategy: str, shops: Shops) -> None:
    """Whatever the strategy, and long before anybody promotes it."""
    shop = shops(strategy)
    shop.use(PAUSE)
    shop.listeners["deployment.waiting"] = shop.raise_alarm
    before = shop.clock.monotonic()
    assert_alarm_rolls_back(shop)
    assert shop.clock.monotonic() - before < 3600


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_alarm_ends_a_program(strategy: str, shops: Shops) -> None:
    """With what it has started."""
    shop = shops(strategy)
    shop.use({"host_command": [sys.executable, "-c", FAMILY]})
    assert_alarm_rolls_back(shop)
    for number in map(int, shop.ready[0].split()[1:]):
        until(partial(is_gone, number), "the program and its child are gone")


def is_gone(process: int) -> bool:
    """Return whether a process has ended. One whose parent has died may wait for another one to reap it."""
    try:
        with pathlib.Path(f"/proc/{process}/stat").open(encoding="utf-8") as file:
            return file.read().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_alarm_ends_a_command_in_the_image(strategy: str, shops: Shops) -> None:
    """Its container is stopped and removed."""
    shop = shops(strategy)
    shop.use({"command": ["wait"]})
    assert_alarm_rolls_back(shop)
    assert shop.ready == ["ready"]
    assert shop.engine.containers.for_pipeline("shop") == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_alarm_ends_a_call(strategy: str, shops: Shops, silent_server: str) -> None:
    """The response is not waited for."""
    shop = shops(strategy)
    shop.use({"http": {"url": silent_server, "attempt_timeout": "10m"}})
    shop.listeners["hook.started"] = shop.raise_alarm
    assert_alarm_rolls_back(shop)


def test_an_alarm_ends_the_wait_between_two_calls(shops: Shops) -> None:
    """An interval between attempts is longer than the time between two looks."""
    shop = shops("blue_green")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    shop.use({"http": {"url": url, "retries": 10, "interval": "1h"}, "timeout": "24h"})
    shop.listeners["hook.started"] = lambda: shop.clock.call_at(10 * SECOND, shop.raise_alarm)
    before = shop.clock.monotonic()
    assert_alarm_rolls_back(shop)
    assert shop.clock.monotonic() - before < 2 * 3600


# It waits for the signal. A handler could run while `print` still holds its lock, and may then print nothing itself.
STUBBORN = """\
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("ready", flush=True)
signal.sigwait([signal.SIGTERM])
print("ending", flush=True)
"""


@pytest.mark.parametrize("strategy", ["canary", "linear", "blue_green", "all_at_once"])
def test_the_requests_go_back_before_the_hook_has_ended(strategy: str, shops: Shops) -> None:
    """A program that takes its time to end keeps no request at the new release."""
    shop = shops(strategy)
    shop.use({"host_command": [sys.executable, "-c", STUBBORN], "stop_grace": f"{DEADLINE}s"})
    assert_alarm_rolls_back(shop)
    assert shop.shares_at_end == [{"web": 0.0}]
    kinds = [event.kind for event in shop.events]
    assert kinds.count("shift.returned") == 1
    assert kinds.index("shift.returned") < kinds.index("deployment.failed") < kinds.index("rollback.started")


@pytest.mark.parametrize("strategy", ["canary", "linear", "blue_green", "all_at_once"])
def test_killed_before_the_hook_has_ended(strategy: str, shops: Shops) -> None:
    """The release that an alarm has found gets no request again: its deployment is undone, and begins anew."""
    shop = shops(strategy)
    shop.use({"host_command": [sys.executable, "-c", STUBBORN], "stop_grace": f"{DEADLINE}s"})
    shop.kill("b", "shift.returned")
    shop.recover(holds=True)
    shop.assert_at_home("a")
    assert "shift.step" not in shop.kinds("shift.")[shop.kinds("shift.").index("shift.returned") :]


def test_the_requests_go_back_if_the_store_fails(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go back first."""
    shop, store = shops("blue_green"), StoredProgress.set

    def fail(stored: StoredProgress, progress: ServiceProgress) -> None:
        if progress.phase is ShiftPhase.UNDO:
            raise StoreFault("the disk is full")
        store(stored, progress)

    monkeypatch.setattr(StoredProgress, "set", fail)
    shop.use({"host_command": [sys.executable, "-c", STUBBORN], "stop_grace": f"{DEADLINE}s"})
    assert_alarm_rolls_back(shop)
    assert shop.shares_at_end == [{"web": 0.0}]


@pytest.mark.parametrize("strategy", ["canary", "linear", "blue_green"])
def test_killed_before_the_rollback_is_stored(strategy: str, shops: Shops) -> None:
    """The next process finds the alarm before it gives the release its share again."""
    shop = shops(strategy)
    shop.listeners["shift.step"] = shop.raise_alarm
    shop.kill("b", "deployment.failed")
    shop.recover(holds=True)
    shop.events.clear()
    with pytest.raises(RolledBack):
        shop.deploy("b")
    assert "shift.resumed" in shop.kinds("shift.")
    assert "shift.step" not in shop.kinds("shift.")
    shop.assert_at_home("a")


def test_requests_stay_where_the_previous_release_cannot_take_them(shops: Shops) -> None:
    """Its containers are started first, as in every rollback."""
    shop = shops("blue_green")
    shop.use({"host_command": [sys.executable, "-c", STUBBORN], "stop_grace": f"{DEADLINE}s"})

    def lose() -> None:
        for name in shop.runtime.running - set(shop.new()):
            shop.runtime.forget(name)

    shop.listeners["hook.started"] = lose
    assert_alarm_rolls_back(shop)
    assert shop.shares_at_end == [{"web": 100.0}]


def test_no_later_hook_runs(shops: Shops) -> None:
    """The alarm is found before the next hook begins, at the latest."""
    shop = shops("blue_green")
    shop.use({"command": ["first"]}, {"command": ["second"]})
    assert_alarm_rolls_back(shop)
    assert len(shop.kinds("hook.started")) == 1


@pytest.mark.parametrize("strategy", [*STRATEGIES, "{type: rolling}"])
def test_a_container_that_exits_ends_a_pause(strategy: str, shops: Shops) -> None:
    """The health of the new release is watched too, also of a rolling one that does not bake."""
    shop = shops(strategy)
    shop.use(PAUSE, more=', restart: "no"')
    shop.listeners["deployment.waiting"] = lambda: shop.runtime.exit(shop.new()[0], 3)
    with pytest.raises(RolledBack, match=r"^shop\.web\.r2\.[0-9a-f]+ failed: its container exited with code 3"):
        shop.deploy("b")
    shop.assert_at_home("a")
    assert shop.waiting() == []


@pytest.mark.parametrize("strategy", [*STRATEGIES, "{type: rolling}"])
def test_a_container_that_is_lost_is_replaced_in_a_pause(strategy: str, shops: Shops, context: StageContext) -> None:
    """A process that continues finds one less, and starts another one. The pause ends by its answer alone."""
    shop = shops(strategy)
    shop.use(PAUSE)
    shop.is_queued = True
    shop.kill("b", "deployment.waiting")
    shop.runtime.forget(shop.new()[0])
    assert len(shop.new()) == 1
    shop.recover(holds=True)

    def check() -> None:
        if len(shop.new()) == 2 and "AfterAllowTraffic[0]" in shop.waiting():
            promote(context.store, "shop", "ann")
        else:
            shop.clock.call_at(SECOND, check)

    shop.listeners["deployment.waiting"] = check
    shop.deploy("b")
    assert len(shop.new()) == 2
    shop.assert_at_home("b")


@pytest.mark.parametrize("strategy", ["blue_green", "rolling"])
def test_the_time_of_a_hook_is_no_bake_time(strategy: str, shops: Shops) -> None:
    """The judge looks on meanwhile, and only the pause can be promoted."""
    shop = shops(strategy)
    shop.use({"pause": True, "timeout": "10m", "on_timeout": "continue"})
    waits: list[list[str]] = []
    shop.listeners["deployment.waiting"] = lambda: shop.clock.call_at(60 * SECOND, lambda: waits.append(shop.waiting()))
    before, looks = shop.clock.monotonic(), shop.looks
    shop.deploy("b")
    assert shop.clock.monotonic() - before >= 630
    assert shop.looks - looks >= 400
    assert waits == [["AfterAllowTraffic[0]"]]


@pytest.mark.parametrize("strategy", [*STRATEGIES, "{type: rolling}"])
def test_a_short_fault_of_docker_ends_no_pause(strategy: str, shops: Shops) -> None:
    """It is told once. Another one later is a new one."""
    shop = shops(strategy)
    shop.use({"pause": True, "timeout": "20m", "on_timeout": "continue"})

    def begin() -> None:
        for minute in (2, 15):
            shop.clock.call_at(minute * 60 * SECOND, lambda: shop.engine_away(20))

    shop.listeners["deployment.waiting"] = begin
    shop.deploy("b")
    assert [event.kind for event in shop.events if "cannot be watched" in event.message] == ["deployment.warning"] * 2
    shop.assert_at_home("b")


def test_a_fault_of_docker_that_lasts_ends_a_pause(shops: Shops) -> None:
    """Its deployment is undone once Docker is back."""
    shop = shops("blue_green")
    shop.use(PAUSE)
    shop.listeners["deployment.waiting"] = lambda: shop.engine_away(3600)
    with pytest.raises(EngineFault):
        shop.deploy("b")
    shop.clock.advance(timedelta(hours=2))
    shop.listeners.clear()
    shop.recover(holds=False)
    shop.assert_at_home("a")


class _Hook:
    """A hook that asks its event a number of times, a second apart, and then raises `error` if it has one."""

    def __init__(self, clock: FakeClock, asks: int = 10, error: Exception | None = None) -> None:
        self._clock = clock
        self._asks = asks
        self._error = error
        self.asked = 0

    def run(self, event: LifecycleEvent, interrupted: threading.Event | None = None) -> None:
        assert interrupted is not None
        for _ in range(self._asks):
            self.asked += 1
            if self._clock.wait(interrupted, SECOND):
                raise Cancelled("cancelled")
        if self._error:
            raise self._error


EVENT = LifecycleEvent.AFTER_ALLOW_TRAFFIC


def test_a_watch_looks_once_a_second() -> None:
    """However often its hook asks."""
    clock, looks = FakeClock(), list[float]()
    watch = HookWatch(threading.Event(), lambda: looks.append(clock.monotonic()), clock)
    for _ in range(20):
        assert not watch.is_set()
        assert not watch.is_set()
        clock.advance(SECOND / 2)
    assert len(looks) == 10


def test_a_watch_looks_no_more_after_a_failure() -> None:
    """The hook is told again and again, until it has ended."""
    clock, looks = FakeClock(), list[int]()

    def look() -> None:
        looks.append(1)
        raise StageFailed(ALARM)

    watch = HookWatch(threading.Event(), look, clock)
    assert watch.is_set()
    clock.advance(10 * SECOND)
    assert watch.wait(0)
    assert len(looks) == 1


@pytest.mark.parametrize("error", [None, StageFailed("the hook failed"), EngineFault("away")])
def test_what_failed_the_release_goes_before_what_its_hook_raises(error: Exception | None) -> None:
    """Also if the hook succeeds at the same moment."""
    clock = FakeClock(auto_advance=True)
    hook = _Hook(clock, asks=0, error=error)

    def look() -> None:
        raise StageFailed(ALARM)

    watch = HookWatch(threading.Event(), look, clock)
    assert watch.is_set()
    with pytest.raises(StageFailed, match="http_5xx_ratio"):
        watch.run(hook, EVENT)


def test_the_failure_of_a_hook_is_its_own() -> None:
    """If nothing else has failed."""
    clock = FakeClock(auto_advance=True)
    watch = HookWatch(threading.Event(), lambda: None, clock)
    with pytest.raises(StageFailed, match="the hook failed"):
        watch.run(_Hook(clock, error=StageFailed("the hook failed")), EVENT)


def test_a_cancellation_ends_a_watched_hook() -> None:
    """A look that is cancelled is no failure of the release."""
    clock, cancelled = FakeClock(auto_advance=True), threading.Event()

    def look() -> None:
        cancelled.set()
        raise Cancelled("cancelled while looking")

    watch, hook = HookWatch(cancelled, look, clock), _Hook(clock)
    with pytest.raises(Cancelled, match=r"^cancelled$"):
        watch.run(hook, EVENT)
    assert hook.asked == 1


def test_what_waits_for_a_watch_wakes_by_a_failure() -> None:
    """Without a time-out too, as a program waits that knows no time."""
    failing = threading.Event()

    def look() -> None:
        if failing.is_set():
            raise StageFailed(ALARM)

    clock = FakeClock()
    watch = HookWatch(threading.Event(), look, clock)
    assert not watch.wait(0.01)
    failing.set()
    clock.advance(SECOND)
    assert watch.wait(DEADLINE)
