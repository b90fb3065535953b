"""The options and the start of the server of the AWS APIs, for the commands that serve it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home

if TYPE_CHECKING:
    import uvicorn

    from pipeline.daemon.stack_supervisor import StackSupervisor
    from pipeline.network.zones import Zone

zone_option = click.option(
    "--zone",
    "zones",
    multiple=True,
    metavar="NAME=ADDRESS",
    help="Zone of the AWS APIs, and the address of load balancers in it, or a prefix in which each has its own. "
    "Repeatable. "
    "Default: local-a=127.0.0.1 and local-b=127.0.0.2.",
)


def aws_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--aws` and `--zone` to a command."""
    option = click.option("--aws", metavar="HOST:PORT", help="Address of the AWS APIs, on a loopback address.")
    return option(zone_option(command))


def check_aws_options(aws: str | None, zones: Sequence[str]) -> None:
    """Raise `ConfigError` if the options do not fit."""
    from pipeline.network.zones import parse_zones

    if zones and not aws:
        raise ConfigError("--zone requires --aws", hint="--aws 127.0.0.1:4566")
    parse_zones(zones)
    if aws:
        _check_loopback(aws)


def aws_server(home: Home, address: str, zones: Sequence[str], stacks: StackSupervisor) -> AbstractContextManager[None]:
    """Return the server of the AWS APIs, which serves in a thread until the block ends. Raises `ConfigError`.

    The packages that it needs are imported at the first connection.
    """
    from pipeline.aws.model import check_installed
    from pipeline.http.serving import http_server, public_socket
    from pipeline.network.zones import parse_zones

    check_installed()
    _check_loopback(address)
    return http_server(partial(_config, home, parse_zones(zones), stacks), public_socket(address))


def _config(home: Home, zones: Sequence[Zone], stacks: StackSupervisor) -> uvicorn.Config:
    from pipeline.http.aws import aws_config

    return aws_config(home, zones, stacks.stacks, stacks.ecs)


def _check_loopback(address: str) -> None:
    """Refuse an address that others can reach. Requests are signed, but the network could read and repeat them."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        is_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ConfigError(
            f"--aws: {address} is not a loopback address",
            hint="use 127.0.0.1:4566, and a listener with HTTPS in front of it for clients on other machines",
        )
