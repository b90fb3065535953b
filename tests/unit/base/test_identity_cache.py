"""Results by the identity of an argument."""

from __future__ import annotations

from pipeline.base.identity_cache import IdentityCache


class Text:
    """An argument with an identity."""

    def __init__(self, text: str) -> None:
        self.text = text


def test_a_result_is_computed_once() -> None:
    """The same object gives the same result, and an equal one is another argument."""
    cache = IdentityCache(lambda one: [one.text], 10)
    one, other = Text("a"), Text("a")
    assert cache(one) is cache(one)
    assert cache(one) is not cache(other)


def test_what_is_used_stays() -> None:
    """Of more objects than it has room for, one that is used between the others is not computed again."""
    asked: list[str] = []
    cache = IdentityCache[Text, None](lambda one: asked.append(one.text), 3)
    kept, others = Text("kept"), [Text(str(n)) for n in range(20)]
    for other in others:
        cache(kept)
        cache(other)
    assert asked.count("kept") == 1
    cache(others[0])
    assert asked.count("0") == 2


def test_an_object_at_a_former_address_gets_its_own_result() -> None:
    """Objects that live for one call only often have the address of an earlier one. None gets another one's result."""
    cache = IdentityCache(lambda one: one.text, 3)
    assert [cache(Text(str(n))) for n in range(1000)] == [str(n) for n in range(1000)]
