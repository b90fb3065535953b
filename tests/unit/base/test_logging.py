"""The daemon's log is readable as text and as JSON, and shows no local variables."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from pipeline.base.logging import configure_logging

logger = structlog.get_logger("pipeline.daemon.daemon")


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """Restore the global logging configuration after a test."""
    root, ours = logging.getLogger(), logging.getLogger("pipeline")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    configuration = structlog.get_config()
    yield
    structlog.configure(**configuration)
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)


def fail() -> None:
    """Raise an error in a frame with a variable that must not be shown."""
    token = "".join(("xyz", "zy"))
    try:
        raise RuntimeError(f"{len(token)} too many")
    except RuntimeError:
        logger.exception("refresh failed")


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """A line ends with its fields. Penstock logs from `info`, libraries from `warning`."""
    configure_logging(as_json=False)
    with bound_contextvars(pipeline="shop"):
        logger.info("scan finished", refs=3)
    logger.debug("nobody wants to know")
    logging.getLogger("urllib3").info("nobody wants to know")
    logging.getLogger("urllib3").warning("a connection was lost")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" [info] scan finished [pipeline.daemon.daemon] pipeline=shop refs=3")
    assert second.endswith(" [warning] a connection was lost [urllib3]")


def test_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """With JSON, each line is an object with a time in UTC."""
    configure_logging(as_json=True)
    with bound_contextvars(pipeline="shop", run=4):
        logger.warning("scheduled run not queued", schedule="@daily")
    said = json.loads(capsys.readouterr().err)
    assert said.pop("timestamp").endswith("Z")
    assert said == {
        "event": "scheduled run not queued",
        "level": "warning",
        "logger": "pipeline.daemon.daemon",
        "pipeline": "shop",
        "run": 4,
        "schedule": "@daily",
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_a_fault_is_shown_without_what_variables_hold(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    """A traceback has files, lines and messages, but no values of variables."""
    configure_logging(as_json=as_json)
    fail()
    said = capsys.readouterr().err
    assert "in fail" in said
    assert "RuntimeError: 5 too many" in said
    assert "xyzzy" not in said


def test_text_from_outside_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal that shows the log obeys nothing that an exception or a field contains."""
    configure_logging(as_json=False)
    try:
        raise RuntimeError("remote: \x1b]0;owned\x07\u202e")
    except RuntimeError:
        logger.exception("fetch failed", remote="\x9b2J")
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(shown := capsys.readouterr().err)
    assert r"\x1b]0;owned\x07\u202e" in shown


def test_a_library_is_heard_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    """An entry of a library is a JSON object with its formatted message."""
    configure_logging(as_json=True)
    logging.getLogger("urllib3").warning("%s connections were lost", 3)
    said = json.loads(capsys.readouterr().err)
    assert (said["event"], said["level"], said["logger"]) == ("3 connections were lost", "warning", "urllib3")
