"""Results are judged by their figures, and written into one page."""

from __future__ import annotations

import pytest

from bench import results
from bench.figure import Figure
from bench.results import Results


def judged(*figures: Figure) -> Results:
    """Return results with these figures."""
    return Results.judged("Title", "Method.", ("a", "b"), [("1", "2")], figures)


def test_one_missed_limit() -> None:
    """One figure over its limit misses the limits of the whole, and the last line names it."""
    found = judged(Figure("kept", 1.0, 1.1), Figure("new", 2.0, 1.1))
    assert not found.met
    assert found.as_markdown().endswith("\n\n**kept 1 (at most 1.1); new 2 (at most 1.1, MISSED)**\n")
    assert judged(Figure("kept", 1.0, 1.1)).met


def test_nothing_to_compare() -> None:
    """Without the programs to compare with, nothing is missed."""
    assert judged().met
    assert "nothing to compare with" in judged().as_markdown()


def test_page(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A section replaces its previous version and leaves the others."""
    monkeypatch.setattr(results, "PAGE", tmp_path / "RESULTS.md")
    results.write("one", judged(Figure("first", 1, 1)), "a machine")
    results.write("two", judged(), "a machine")
    results.write("one", judged(Figure("second", 1, 1)), "a machine")
    page = (tmp_path / "RESULTS.md").read_text()
    assert "first" not in page
    assert page.index("second") < page.index("<!-- two -->")
    assert page.count("# Measurements\n") == 1
