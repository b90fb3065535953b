"""The catalogue of events: complete, documented, and kept to."""

from __future__ import annotations

import re

import pytest

from pipeline.config.reference import reference_page
from pipeline.event_kinds import FORMER_KINDS, EventKind, current_kind
from pipeline.events import Events
from tests.support.paths import ROOT

SOURCES = "\n".join(
    path.read_text()
    for package in ("pipeline", "stages")
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name != "event_kinds.py"
)
# Made from a run's state and from a step's name.
COMPUTED = {"run.queued", "run.skipped", "run.superseded", "run.cancelled", "build.retry", "test.retry"}


@pytest.mark.parametrize("kind", EventKind)
def test_each_kind_is_emitted(kind: EventKind) -> None:
    """No kind of the catalogue is left over from a change."""
    assert kind in COMPUTED or f"EventKind.{kind.name}" in SOURCES


@pytest.mark.parametrize("kind", EventKind)
def test_each_kind_is_in_the_reference(kind: EventKind) -> None:
    """Its row names its fields."""
    fields = ", ".join(f"`{name}`" for name in sorted(kind.fields))
    assert f"| `{kind}` | {fields} | {kind.description} |" in reference_page()


def test_only_kinds_of_the_catalogue_are_emitted() -> None:
    """No source emits a kind as plain text."""
    assert re.findall(r"\.emit\(\s*f?\"", SOURCES) == []


def test_a_field_that_the_kind_does_not_have() -> None:
    """It is refused before any listener gets the event."""
    events, heard = Events("shop"), []
    events.subscribe(heard.append)
    with pytest.raises(ValueError, match=r"stage\.started has no field colour"):
        events.emit(EventKind.STAGE_STARTED, "Build …", stage="build", colour="red")
    assert heard == []


def test_former_names() -> None:
    """A stored kind of the former version is read under its name of today, any other as it is."""
    assert current_kind("reconcile.drift") == EventKind.RECONCILE_DRIFT
    assert current_kind("target.healthy") == "target.healthy"
    assert not FORMER_KINDS.keys() & {kind.value for kind in EventKind}
