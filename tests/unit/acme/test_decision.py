"""The next step of an order follows from its state at the authority."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.acme.authority import Authorization, Challenge, Order, OrderStatus
from pipeline.acme.decision import Download, Finalize, GiveUp, Prove, Step, Wait, decide

_CHALLENGE = Challenge("a.test", "url", "token")
_OPEN = Authorization("a.test", is_open=True, is_valid=False, challenges={"http-01": _CHALLENGE})
_VALID = Authorization("b.test", is_open=False, is_valid=True)
_REFUSED = Authorization("c.test", is_open=False, is_valid=False, error="no proof")


@pytest.mark.parametrize(
    ("order", "step"),
    [
        (Order("o", "pending", (_OPEN, _VALID)), Prove((_CHALLENGE,))),
        (Order("o", "pending", (_OPEN, _REFUSED)), GiveUp("c.test: no proof")),
        (Order("o", "pending", (_VALID,)), Wait(timedelta(seconds=2))),
        (Order("o", "ready", (_VALID,)), Finalize()),
        (Order("o", "processing", (_VALID,), delay=timedelta(seconds=9)), Wait(timedelta(seconds=9))),
        (Order("o", "valid", (_VALID,)), Download()),
        (Order("o", "invalid", (_VALID,), error="forbidden"), GiveUp("forbidden")),
        (Order("o", "invalid"), GiveUp("the authority has ended the order without a reason")),
    ],
)
def test_a_step(order: Order, step: Step) -> None:
    """Each state has one step."""
    assert decide(order, "http-01") == step


def test_a_kind_that_is_not_offered() -> None:
    """The reason names the kind and the domains."""
    order = Order("o", "pending", (_OPEN, _VALID))
    assert decide(order, "dns-01") == GiveUp("the authority offers no dns-01 for a.test")


@given(
    status=st.sampled_from(("pending", "ready", "processing", "valid", "invalid")),
    found=st.lists(st.sampled_from((_OPEN, _VALID, _REFUSED)), max_size=4),
    asked=st.booleans(),
)
def test_no_step_is_repeated(status: OrderStatus, found: list[Authorization], asked: bool) -> None:
    """What the authority was asked to check is not asked for again, and an order that is over is not waited for."""
    step = decide(Order("o", status, tuple(found)), "http-01", {"url"} if asked else ())
    assert not (asked and isinstance(step, Prove))
    assert not (status in ("valid", "invalid") and isinstance(step, Wait | Prove))
    assert not (_REFUSED in found and isinstance(step, Wait | Prove))
