"""The capabilities of containers, as pipeline.yaml names them and as the engine gets them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.config import steps
from pipeline.config.privileges import DEFAULT_CAPABILITIES, KNOWN_CAPABILITIES, WITHHELD_CAPABILITIES
from pipeline.engine.container import Privileges

DEFAULT = tuple(sorted(DEFAULT_CAPABILITIES))


@pytest.mark.parametrize(
    ("keys", "privileges"),
    [
        ({}, Privileges(DEFAULT, ("ALL",), no_new_privileges=True)),
        ({"no_new_privileges": False}, Privileges(DEFAULT, ("ALL",))),
        ({"cap_drop": ["ALL"]}, Privileges((), ("ALL",), no_new_privileges=True)),
        (
            {"cap_drop": ["all"], "cap_add": ["cap_net_raw", "CHOWN", "CAP_CHOWN"]},
            Privileges(("CHOWN", "NET_RAW"), ("ALL",), no_new_privileges=True),
        ),
        (
            {"cap_drop": [name for name in DEFAULT if name != "KILL"]},
            Privileges(("KILL",), ("ALL",), no_new_privileges=True),
        ),
        (
            {"cap_add": ["ALL", "CHOWN"], "cap_drop": ["SYS_ADMIN", "BPF"]},
            Privileges(("ALL",), ("BPF", "SYS_ADMIN"), no_new_privileges=True),
        ),
    ],
)
def test_a_container_gets_the_default_capabilities_and_its_own(keys: dict[str, object], privileges: Privileges) -> None:
    """The engine gets each capability by name. Case, the prefix and the order do not count."""
    assert steps.TestService.model_validate({"image": "postgres", **keys}).privileges == privileges


def test_tests_have_only_the_capabilities_that_they_add() -> None:
    """The default ones are for services and for what is deployed."""
    tests = steps.Tests.model_validate({"command": ["true"], "cap_add": ["NET_RAW"]})
    assert tests.privileges == Privileges(("NET_RAW",), ("ALL",), no_new_privileges=True)


def test_the_default_capabilities_are_those_of_docker_without_three() -> None:
    """Docker gives fourteen."""
    assert len(DEFAULT_CAPABILITIES | WITHHELD_CAPABILITIES) == 14
    assert DEFAULT_CAPABILITIES.isdisjoint(WITHHELD_CAPABILITIES)


def test_every_capability_of_this_kernel_is_known() -> None:
    """The names are those of the kernel's header, which Linux extends rarely."""
    header = Path("/usr/include/linux/capability.h")
    if not header.exists():
        pytest.skip("the kernel's headers are not installed")
    defined = re.findall(r"^#define CAP_([A-Z_]+)\s+\d+$", header.read_text(), re.MULTILINE)
    assert set(defined) == KNOWN_CAPABILITIES
