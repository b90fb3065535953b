"""The lock of a pipeline's targets: one holder at a time, and deployments before repairs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pipeline.runner.deploy_lock import DeployLock
from tests.support.waiting import DEADLINE, until


class SlowLock:
    """A lock whose waiters pass `gate` first. `arrived` counts them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = 0

    def __enter__(self) -> None:
        self.arrived += 1
        assert self.gate.wait(DEADLINE)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def acquire(self, blocking: bool = True) -> bool:
        return self._lock.acquire(blocking)

    def release(self) -> None:
        self._lock.release()


@contextmanager
def waiting_deployment(lock: DeployLock, slow: SlowLock) -> Iterator[None]:
    """Have a deployment that has asked for the lock and does not have it yet. It gets it after the block."""

    def deploy() -> None:
        with lock.for_deployment():
            pass

    slow.gate.clear()
    before, thread = slow.arrived, threading.Thread(target=deploy)
    thread.start()
    until(lambda: slow.arrived > before, "the deployment asks for the lock")
    try:
        yield
    finally:
        slow.gate.set()
        thread.join()


def test_a_repair_does_not_begin_while_a_deployment_waits() -> None:
    """Though nothing holds the lock yet."""
    slow = SlowLock()
    lock = DeployLock(slow)
    with waiting_deployment(lock, slow), lock.try_for_repair() as given_up:
        assert given_up is None


def test_the_end_of_a_deployment_does_not_let_a_repair_before_the_next_one() -> None:
    """A second deployment waits already."""
    slow = SlowLock()
    lock = DeployLock(slow)
    with ExitStack() as stack:
        with lock.for_deployment():
            stack.enter_context(waiting_deployment(lock, slow))
        with lock.try_for_repair() as given_up:
            assert given_up is None


def test_a_repair_is_asked_to_stop_for_a_deployment() -> None:
    """By the event that it got with the lock, which is not set before."""
    slow = SlowLock()
    lock = DeployLock(slow)
    with ExitStack() as after_repair, lock.try_for_repair() as given_up:
        assert given_up is not None
        assert not given_up.is_set()
        after_repair.enter_context(waiting_deployment(lock, slow))
        assert given_up.is_set()
    with lock.try_for_repair() as given_up:
        assert given_up is not None
        assert not given_up.is_set()


def test_a_repair_never_waits() -> None:
    """It gets nothing while a deployment holds the lock."""
    lock = DeployLock()
    with lock.for_deployment(), lock.try_for_repair() as given_up:
        assert given_up is None


def test_a_repair_is_asked_to_stop_for_another_reason() -> None:
    """The one that holds the lock, and not the next one."""
    lock = DeployLock()
    lock.preempt_repair()
    with lock.try_for_repair() as given_up:
        assert given_up is not None
        assert not given_up.is_set()
        lock.preempt_repair()
        assert given_up.is_set()


def test_no_deployment_begins_between_deployments() -> None:
    """One that holds the lock or waits for it is told, and a repair is not."""
    slow = SlowLock()
    lock = DeployLock(slow)
    with lock.try_for_repair(), lock.between_deployments() as is_free:
        assert is_free
    with ExitStack() as stack:
        with lock.between_deployments() as is_free:
            assert is_free
            threading.Thread(target=deploy_and_release, args=(lock, began := threading.Event())).start()
            assert not began.is_set()
        assert began.wait(DEADLINE)
        stack.enter_context(waiting_deployment(lock, slow))
        with lock.between_deployments() as is_free:
            assert not is_free


def deploy_and_release(lock: DeployLock, began: threading.Event) -> None:
    """Deploy at once."""
    with lock.for_deployment():
        began.set()
