"""GENEVE as appliances get it: every field, and what is wrong with what is not it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.gateway.geneve import OVERHEAD, Encapsulated, GeneveError
from tests.support.inner_packets import udp

INNER = udp("198.18.0.5", "198.18.1.10")
numbers = st.integers(0, 2**64 - 1)
HEAD, ENDPOINT = bytes.fromhex("0800080000000000"), bytes.fromhex("01080102") + bytes(8)
ATTACHMENT, COOKIE = bytes.fromhex("01080202") + bytes(8), bytes.fromhex("01080301") + bytes(4)


@given(numbers, numbers, st.integers(0, 2**32 - 1), st.booleans())
def test_decoded_is_what_was_encoded(endpoint: int, attachment: int, cookie: int, is_ipv6: bool) -> None:
    inner = udp("fd98::5", "fd98:1::10") if is_ipv6 else INNER
    wrapped = Encapsulated(endpoint, attachment, cookie, inner)
    assert Encapsulated.decoded(wrapped.encoded()) == wrapped
    assert len(wrapped.encoded()) == len(inner) + OVERHEAD - 28


def test_bytes_on_the_wire() -> None:
    """As AWS documents them: class 0x0108, types 1, 2 and 3, with 64, 64 and 32 bits."""
    expected = "0800 0800 000000 00 0108 01 02 1122334455667788 0108 02 02 00000000000000a1 0108 03 01 deadbeef"
    assert Encapsulated(0x1122334455667788, 0xA1, 0xDEADBEEF, INNER).encoded() == bytes.fromhex(expected) + INNER


def test_options_of_others_are_skipped() -> None:
    head = bytes.fromhex("0a00080000000000")
    other = bytes.fromhex("ffff0101") + b"same"
    found = Encapsulated.decoded(head + ENDPOINT + other + ATTACHMENT + COOKIE + INNER)
    assert found == Encapsulated(0, 0, 0, INNER)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"\x08\x00", "2 bytes are too few for a header of GENEVE, which has 8"),
        (b"\x48" + HEAD[1:] + bytes(32), "version 1 of GENEVE is unknown"),
        (b"\x08\x80" + HEAD[2:] + bytes(32), "a control packet has no inner packet"),
        (HEAD + ENDPOINT, "the options end at byte 40, and the payload at byte 20"),
        (b"\x08\x00\x65\x58" + HEAD[4:] + ENDPOINT + ATTACHMENT + COOKIE + INNER, "protocol type 0x6558 is neither"),
        (HEAD + ENDPOINT + ATTACHMENT + COOKIE, "the inner packet is not of protocol type 0x0800"),
        (HEAD + ENDPOINT + ATTACHMENT + COOKIE + b"\x60", "the inner packet is not of protocol type 0x0800"),
        (b"\x05" + HEAD[1:] + ENDPOINT + COOKIE + INNER, "option 2 of class 0x0108 is missing"),
        (b"\x00" + HEAD[1:] + INNER, "option 1 of class 0x0108 is missing"),
        (b"\x0a" + HEAD[1:] + ENDPOINT + ATTACHMENT + COOKIE + COOKIE + INNER, "option 3 is there twice"),
        (
            HEAD + ENDPOINT + ATTACHMENT + bytes.fromhex("01080302") + bytes(4) + INNER,
            "option 3 .* is cut off",
        ),
        (b"\x07" + HEAD[1:] + ENDPOINT + COOKIE + COOKIE + INNER, "option 3 is there twice"),
        (b"\x02" + HEAD[1:] + bytes.fromhex("01080101") + bytes(4) + INNER, "option 1 has 4 bytes instead of 8"),
    ],
)
def test_what_is_wrong_is_said(payload: bytes, text: str) -> None:
    with pytest.raises(GeneveError, match=text):
        Encapsulated.decoded(payload)


@given(st.binary(max_size=120))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        found = Encapsulated.decoded(data)
    except GeneveError:
        return
    assert found.packet


def test_an_inner_packet_is_of_ip() -> None:
    with pytest.raises(GeneveError, match="the inner packet is neither IPv4 nor IPv6"):
        Encapsulated(1, 2, 3, b"\x15").encoded()
