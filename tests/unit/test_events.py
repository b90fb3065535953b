"""Events reach every listener, in order, without secrets."""

from __future__ import annotations

import threading

from pipeline.base.masking import Mask
from pipeline.event_kinds import EventKind
from pipeline.events import Event, Events


def test_every_listener_hears_every_event() -> None:
    """With the pipeline and the run they belong to."""
    events, first, second = Events("shop", 3), [], []
    events.subscribe(first.append)
    events.subscribe(second.append)
    events.emit(EventKind.TARGET_HEALTHY, "a is healthy", target="a", healthy=2)
    assert first == second
    (event,) = first
    assert (event.kind, event.pipeline, event.run, event.fields) == (
        "target.healthy",
        "shop",
        3,
        {"target": "a", "healthy": 2},
    )


def test_texts_are_masked_before_anybody_hears_them() -> None:
    """No listener has to think of it."""
    events, heard = Events("shop", clean=Mask(["hunter-two"])), []
    events.subscribe(heard.append)
    events.emit(EventKind.RUN_FINISHED, "login with hunter-two failed", reason="hunter-two is wrong")
    assert "hunter" not in heard[0].message + str(heard[0].fields)


def test_events_of_several_threads_do_not_overlap() -> None:
    """A listener may keep state without a lock of its own."""
    events, inside, overlaps = Events("shop"), threading.Lock(), []

    def listen(event: Event) -> None:
        if not inside.acquire(blocking=False):
            overlaps.append(event)
        else:
            inside.release()

    events.subscribe(listen)
    threads = [
        threading.Thread(target=lambda: [events.emit(EventKind.DEMO_STEP, "y") for _ in range(500)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []
