"""The limit of a container's log, as Docker gets it."""

from __future__ import annotations

import pytest

from pipeline.engine.container import ContainerSpec, LogLimit
from pipeline.engine.docker.translation import host_options

_SPEC = ContainerSpec(name="web", image="app", labels={}, log=LogLimit(10 * 2**20, 5))


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_the_engines_own_driver_is_limited(driver: str) -> None:
    """The driver stays the engine's, so `docker logs` works as before."""
    limits = {"max-size": "10485760", "max-file": "5"}
    assert host_options(_SPEC, driver)["log_config"] == {"Type": driver, "Config": limits}


@pytest.mark.parametrize("driver", ["journald", "fluentd", "none", None])
def test_other_drivers_are_left_alone(driver: str | None) -> None:
    """They have no such limits, and the engine's own configuration for them stays in force."""
    assert "log_config" not in host_options(_SPEC, driver)
