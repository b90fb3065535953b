"""The options of a container, as Docker gets them."""

from __future__ import annotations

from typing import Any

import pytest
from docker.types import HostConfig

from pipeline.engine.container import ContainerSpec, LogLimit
from pipeline.engine.container_options import ContainerOptions, DeviceMapping, DeviceRequest, LogDriver, Ulimit
from pipeline.engine.docker.translation import address_in, host_options


def sent(options: ContainerOptions, default_driver: str | None = None) -> dict[str, Any]:
    """Return the part of the request that Docker's SDK makes of the options."""
    spec = ContainerSpec("web", "app", {}, log=LogLimit(1024, 2), options=options)
    return dict(HostConfig(version="1.41", **host_options(spec, default_driver)))


def test_what_is_not_set_is_not_sent() -> None:
    """Docker's own defaults count for a container that sets nothing."""
    keys = {"ReadonlyRootfs", "Tmpfs", "Ulimits", "ExtraHosts", "DeviceRequests", "Devices"}
    assert not sent(ContainerOptions()).keys() & keys


def test_each_option_in_dockers_form() -> None:
    """An address may have colons, so the entries of extra_hosts are sent as they are."""
    found = sent(
        ContainerOptions(
            read_only=True,
            tmpfs={"/run": "size=64m"},
            ulimits={"nofile": Ulimit(1024, -1)},
            extra_hosts=("v6:2001:db8::5", "dev:host-gateway"),
            devices=(DeviceMapping("/dev/net/tun", "/dev/tun", "rw"),),
        )
    )
    assert found["ReadonlyRootfs"] is True
    assert found["Devices"] == [
        {"PathOnHost": "/dev/net/tun", "PathInContainer": "/dev/tun", "CgroupPermissions": "rw"}
    ]
    assert found["Tmpfs"] == {"/run": "size=64m"}
    assert found["Ulimits"] == [{"Name": "nofile", "Soft": 1024, "Hard": -1}]
    assert found["ExtraHosts"] == ["v6:2001:db8::5", "dev:host-gateway"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            DeviceRequest(count=-1),
            {"Driver": "", "Count": -1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}},
        ),
        (
            DeviceRequest("nvidia", 0, ("0", "3"), ("gpu", "compute"), {"a": "b"}),
            {
                "Driver": "nvidia",
                "Count": 0,
                "DeviceIDs": ["0", "3"],
                "Capabilities": [["gpu", "compute"]],
                "Options": {"a": "b"},
            },
        ),
    ],
)
def test_a_request_for_gpus(request_: DeviceRequest, expected: dict[str, Any]) -> None:
    """As `docker run --gpus` sends it."""
    assert sent(ContainerOptions(device_requests=(request_,)))["DeviceRequests"] == [expected]


@pytest.mark.parametrize(
    ("driver", "default", "expected"),
    [
        (LogDriver("local"), None, {"Type": "local", "Config": {"max-size": "1024", "max-file": "2"}}),
        (
            LogDriver("local", {"max-size": "5m"}),
            "journald",
            {"Type": "local", "Config": {"max-size": "5m", "max-file": "2"}},
        ),
        (
            LogDriver(None, {"max-size": "5m"}),
            "json-file",
            {"Type": "json-file", "Config": {"max-size": "5m", "max-file": "2"}},
        ),
        (LogDriver(None, {"tag": "web"}), "journald", {"Type": "journald", "Config": {"tag": "web"}}),
        (LogDriver("none"), None, {"Type": "none", "Config": {}}),
        (LogDriver("syslog", {"tag": "a"}), "json-file", {"Type": "syslog", "Config": {"tag": "a"}}),
    ],
)
def test_a_log_driver_keeps_the_limits_that_it_has(
    driver: LogDriver, default: str | None, expected: dict[str, Any]
) -> None:
    """The limits of `log` count unless the options set them, and for json-file and local only."""
    assert sent(ContainerOptions(log_driver=driver), default)["LogConfig"] == expected


def test_a_container_in_several_networks_has_the_address_of_its_own() -> None:
    """Docker lists networks in any order."""
    networks = {"a": {"IPAddress": "10.1.0.2"}, "own": {"IPAMConfig": {"IPv4Address": "10.2.0.2"}, "IPAddress": ""}}
    row = {"NetworkSettings": {"Networks": networks}}
    assert address_in(row, "own") == "10.2.0.2"
    assert address_in(row, "gone") == "10.1.0.2"
    assert address_in({"NetworkSettings": {"Networks": None}}, "own") == ""
