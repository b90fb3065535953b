"""The measurements that can be named."""

from __future__ import annotations

import importlib
import inspect

import pytest

from bench.__main__ import NAMES, QUICK, parse


@pytest.mark.parametrize("name", NAMES)
def test_every_measurement_can_be_run(name: str) -> None:
    """Each name is a module that can be imported and has a function of the extent."""
    measure = importlib.import_module(f"bench.{name}").measure
    assert len(inspect.signature(measure).parameters) == 1


def test_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A name without a measurement is refused, with all names. Nothing is measured."""
    with pytest.raises(SystemExit):
        parse(["loss", "speed"])
    message = capsys.readouterr().err
    assert "unknown measurement speed" in message
    assert "proxy_cost" in message


def test_no_short_version(capsys: pytest.CaptureFixture[str]) -> None:
    """A measurement without a short version is refused with --quick."""
    with pytest.raises(SystemExit):
        parse(["--quick", "chaos"])
    assert "unknown measurement chaos" in capsys.readouterr().err
    assert parse(["--quick", *QUICK]).quick


def test_runs() -> None:
    """The length of the soak is an argument."""
    assert parse(["soak", "--runs", "2000"]).runs == 2000
