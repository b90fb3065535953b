"""What the daemon says of itself can be read, by people and by programs, and holds no variables."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from structlog.contextvars import bound_contextvars

from pipeline.base.logging import configure_logging

logger = logging.getLogger("pipeline.daemon.daemon")


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """Logging is everybody's: it is as it was afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("pipeline")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)


def fail() -> None:
    """Say what went wrong, where a variable holds what nobody is to see."""
    token = "".join(("xyz", "zy"))
    try:
        raise RuntimeError(f"{len(token)} too many")
    except RuntimeError:
        logger.exception("looking around")


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """A line with what it is about at its end; our own from `info` on, the libraries' from `warning` on."""
    configure_logging(as_json=False)
    with bound_contextvars(pipeline="shop"):
        logger.info("%s of them", 3)
    logging.getLogger("urllib3").info("nobody wants to know")
    logging.getLogger("urllib3").warning("a connection was lost")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" [info] 3 of them [pipeline.daemon.daemon] pipeline=shop")
    assert second.endswith(" [warning] a connection was lost [urllib3]")


def test_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """An object a line, its time in UTC."""
    configure_logging(as_json=True)
    with bound_contextvars(pipeline="shop", run=4):
        logger.warning("the schedule")
    said = json.loads(capsys.readouterr().err)
    assert said.pop("timestamp").endswith("Z")
    assert said == {
        "event": "the schedule",
        "level": "warning",
        "logger": "pipeline.daemon.daemon",
        "pipeline": "shop",
        "run": 4,
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_a_fault_is_shown_without_what_variables_hold(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    """Where it was, and what it was: no more, for a variable may hold a secret."""
    configure_logging(as_json=as_json)
    fail()
    said = capsys.readouterr().err
    assert "in fail" in said
    assert "RuntimeError: 5 too many" in said
    assert "xyzzy" not in said
