"""Badges and the CCTray feed: correct, readable, and well-formed for all names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.http.badge import Project, badge_svg, cc_xml
from pipeline.store.records import RunKind, RunState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run

SVG = "{http://www.w3.org/2000/svg}"


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG defines it."""
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(d * 2 for d in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("state", [*RunState, "unknown"])
def test_a_badge_says_and_shows_its_state(state: str) -> None:
    """A badge has its state as text for screen readers, and enough contrast."""
    root = ElementTree.fromstring(badge_svg("shop", state))
    words = state.replace("_", " ")
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.findtext(f"{SVG}title") == f"shop: {words}"
    assert [text.text for text in root.iter(f"{SVG}text")] == ["shop", words]
    for rectangle in root.findall(f"{SVG}g/{SVG}rect"):
        assert (1 + 0.05) / (luminance(rectangle.attrib["fill"]) + 0.05) >= 4.5


def test_states_differ_in_colour() -> None:
    """Success, failure and other states have different colours."""
    fills = {
        state: ElementTree.fromstring(badge_svg("shop", state)).findall(f"{SVG}g/{SVG}rect")[1].attrib["fill"]
        for state in RunState
    }
    states = ["succeeded", "failed", "rolled_back", "running", "queued", "cancelled"]
    assert len({fills[RunState(state)] for state in states}) == len(states)
    assert fills[RunState.CANCELLED] == fills[RunState.SUPERSEDED] == fills[RunState.SKIPPED]


def test_a_badge_is_as_wide_as_its_words() -> None:
    """The width is close to a browser's: `shop` and `succeeded` take 28 and 61 pixels in Verdana at 11 pixels."""
    root = ElementTree.fromstring(badge_svg("shop", "succeeded"))
    left, right = (float(text.attrib["textLength"]) for text in root.iter(f"{SVG}text"))
    assert left == pytest.approx(28, abs=3)
    assert right == pytest.approx(61, abs=5)
    assert float(root.attrib["width"]) == left + right + 4 * 6


@given(st.text(), st.text())
def test_any_words_make_an_image(label: str, state: str) -> None:
    """Any label makes a valid image: invalid characters are replaced, and markup is escaped."""
    root = ElementTree.fromstring(badge_svg(label, state).encode())
    assert len(list(root.iter())) == 10


@given(st.text(), st.text(), st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 2)))  # noqa: DTZ001
def test_any_names_make_a_feed(name: str, url: str, at: datetime) -> None:
    """Any name makes a valid feed with the same values, except characters that XML cannot represent."""
    (found,) = ElementTree.fromstring(cc_xml([Project(name, "Sleeping", "Success", "3", at, url)]).encode())
    if name.isprintable():
        assert found.get("name") == name
    assert found.get("lastBuildTime") == at.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_feed() -> None:
    """The feed has the attributes that CCTray specifies, with times in ISO 8601."""
    at = datetime(2026, 11, 24, 16, 0, tzinfo=timezone(timedelta(hours=1)))
    text = cc_xml([Project("shop", "Sleeping", "Failure", "12", at, "https://ci.example.com/shop?a=1&b=2")])
    assert text.splitlines() == [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<Projects>",
        '  <Project name="shop" activity="Sleeping" lastBuildStatus="Failure" lastBuildLabel="12" '
        'lastBuildTime="2026-11-24T15:00:00Z" webUrl="https://ci.example.com/shop?a=1&amp;b=2"/>',
        "</Projects>",
    ]
    assert ElementTree.fromstring(cc_xml([])).tag == "Projects"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "penstock.db") as store:
        yield store


def project(store: Store, *states: RunState) -> Project:
    """Return the project of a pipeline that had runs with these states, oldest first."""
    for state in states:
        run = begin_run(store, "shop")
        if state is not RunState.RUNNING:
            store.runs.finish("shop", run.number, state)
    return Project.from_runs("shop", store.runs.latest("shop"), "https://ci.example.com")


def test_a_pipeline_that_never_ran(store: Store) -> None:
    """A pipeline without runs is unknown, with the time that the format requires."""
    found = project(store)
    assert (found.activity, found.status, found.label) == ("Sleeping", "Unknown", "")


@pytest.mark.parametrize(
    ("states", "activity", "status", "label"),
    [
        ([RunState.SUCCEEDED], "Sleeping", "Success", "1"),
        ([RunState.SUCCEEDED, RunState.FAILED], "Sleeping", "Failure", "2"),
        ([RunState.SUCCEEDED, RunState.ROLLED_BACK], "Sleeping", "Failure", "2"),
        ([RunState.ROLLBACK_FAILED], "Sleeping", "Exception", "1"),
        ([RunState.INTERRUPTED], "Sleeping", "Exception", "1"),
        ([RunState.FAILED, RunState.RUNNING], "Building", "Failure", "1"),
        ([RunState.SUCCEEDED, RunState.QUEUED], "CheckingModifications", "Success", "1"),
        ([RunState.SUCCEEDED, RunState.CANCELLED, RunState.SUPERSEDED, RunState.SKIPPED], "Sleeping", "Success", "1"),
    ],
)
def test_what_the_latest_runs_come_to(
    states: list[RunState], activity: str, status: str, label: str, store: Store
) -> None:
    """The last run with a verdict counts, also if later ones are queued, cancelled or superseded."""
    found = project(store, *states)
    assert (found.activity, found.status, found.label) == (activity, status, label)


def test_a_rollback_is_no_build(store: Store) -> None:
    """A rollback does not change the status, because it says nothing about a commit."""
    project(store, RunState.SUCCEEDED)
    store.runs.finish("shop", begin_run(store, "shop", RunKind.ROLLBACK).number, RunState.FAILED)
    assert project(store).status == "Success"
