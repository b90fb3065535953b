"""Results by the identity of an argument."""

from __future__ import annotations

from pipeline.base.identity_cache import IdentityCache


class Text:
    """An argument with an identity."""

    def __init__(self, text: str) -> None:
        self.text = text


def test_a_result_is_computed_once() -> None:
    """The same object gives the same result, and an equal one is another argument."""
    cache = IdentityCache[Text, list[str]](lambda one: [one.text])
    one, other = Text("a"), Text("a")
    assert cache(one) is cache(one)
    assert cache(one) is not cache(other)


def test_a_result_goes_with_its_object() -> None:
    """Objects that are no longer used leave nothing behind."""
    cache = IdentityCache[Text, str](lambda one: one.text)
    kept = Text("kept")
    for found in (kept, *(Text(str(n)) for n in range(20))):
        cache(found)
    del found
    assert len(cache) == 1
    assert cache(kept) == "kept"


def test_an_object_at_a_former_address_gets_its_own_result() -> None:
    """Objects that live for one call only often have the address of an earlier one. None gets another one's result."""
    cache = IdentityCache[Text, str](lambda one: one.text)
    addresses = set()
    for n in range(1000):
        one = Text(str(n))
        addresses.add(id(one))
        assert cache(one) == str(n)
    assert len(addresses) < 1000
