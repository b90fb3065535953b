"""`pipeline balancer shift`: take a zone of load balancers out of service for a time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.cli.output import date, table
from pipeline.cli.session import json_option

if TYPE_CHECKING:
    from pipeline.balancer.balancer import Balancer
    from pipeline.balancer.registry import Registry
    from pipeline.balancer.resources import LoadBalancerResource

_MAX_DURATION = timedelta(days=3)
_NONE = "no zone is shifted away"


@click.command("shift", short_help="Shift traffic away from a zone for a time.")
@click.argument("name", metavar="[LB]", required=False)
@click.option("--away", "zone", metavar="ZONE", help="Zone that gets no new traffic.")
@click.option("--for", "duration", metavar="DURATION", help="Time until the zone gets traffic again, at most 3d.")
@click.option("--cancel", "cancelled", is_flag=True, help="Send traffic to the zone again now.")
@json_option
def command(name: str | None, zone: str | None, duration: str | None, cancelled: bool, as_json: bool) -> None:
    """Shift traffic away from a zone of a load balancer. Without --away and --cancel, list the zones shifted away.

    LB is the name of the load balancer, or NAME.OWNER. Without LB, all load balancers with the zone are shifted.
    """
    from pipeline.balancer.planes import open_balancer

    if bool(zone) != bool(duration):
        raise ConfigError("--away and --for require each other", hint="--away zone-a --for 10m")
    if zone and cancelled:
        raise ConfigError("--away and --cancel exclude each other")
    balancer = open_balancer(Home.locate().balancer)
    chosen = _chosen(balancer.registry(), name)
    if zone and duration:
        chosen = _with_zone(chosen, zone)
        _shift(balancer, chosen, zone, _parsed(duration))
    elif cancelled:
        chosen = _shifted(chosen)
        for one in chosen:
            balancer.end_shift(one.owner, one.name)
    if as_json:
        _show_data(_current(balancer, chosen))
    elif cancelled:
        lines = [f"{_label(one)}: {one.shift.zone} gets traffic again" for one in chosen if one.shift]
        click.echo("\n".join(lines) or _NONE)
    else:
        _show(_current(balancer, chosen))


def _parsed(text: str) -> timedelta:
    from pipeline.base.quantity import parse_duration

    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--for: {error}") from error
    if not timedelta(0) < duration <= _MAX_DURATION:
        raise ConfigError(f"--for {text}: must be more than 0s and at most 3d", hint="repeat the command to prolong it")
    return duration


def _label(balancer: LoadBalancerResource) -> str:
    return f"{balancer.name}.{balancer.owner}"


def _chosen(registry: Registry, name: str | None) -> list[LoadBalancerResource]:
    """Return the load balancers that a name means, or all. Raises `ConfigError` for an unknown or ambiguous name."""
    known = list(registry.load_balancers.values())
    if name is None:
        return known
    found = [one for one in known if name in (one.name, _label(one))]
    if not found:
        from pipeline.base.suggestion import not_declared

        raise not_declared(f"load balancer {name}", map(_label, known), name)
    if len(found) > 1:
        raise ConfigError(f"several load balancers are named {name}", hint=f"use {' or '.join(map(_label, found))}")
    return found


def _with_zone(chosen: list[LoadBalancerResource], zone: str) -> list[LoadBalancerResource]:
    """Return those of several load balancers that can be shifted, or the only one, for which the balancer decides."""
    if len(chosen) == 1:
        return chosen
    having = [one for one in chosen if zone in (one.settings.zones or {})]
    if not having:
        from pipeline.base.suggestion import not_declared

        raise not_declared(f"zone {zone}", {known for one in chosen for known in one.settings.zones or ()}, zone)
    return [one for one in having if one.settings.attributes.zonal_shift] or having[:1]


def _shift(balancer: Balancer, chosen: Iterable[LoadBalancerResource], zone: str, duration: timedelta) -> None:
    until = SYSTEM.now().later(duration)
    for one in chosen:
        balancer.shift(one.owner, one.name, zone, until)


def _shifted(balancers: Iterable[LoadBalancerResource]) -> list[LoadBalancerResource]:
    """Return the load balancers with a shift that is not over."""
    now = SYSTEM.now()
    return [one for one in balancers if one.shift and not one.shift.is_over(now)]


def _current(balancer: Balancer, chosen: Iterable[LoadBalancerResource]) -> list[LoadBalancerResource]:
    """Return the shifted ones of some load balancers, as they are now."""
    ids = {one.id for one in chosen}
    return _shifted(one for one in balancer.registry().load_balancers.values() if one.id in ids)


def _show(shifted: Iterable[LoadBalancerResource]) -> None:
    now = SYSTEM.now()
    rows = [(_label(one), one.shift.zone, date(one.shift.end(now))) for one in shifted if one.shift]
    if rows:
        table(rows, "load balancer", "away from", "until")
    else:
        click.echo(_NONE)


def _show_data(shifted: Iterable[LoadBalancerResource]) -> None:
    now = SYSTEM.now()
    data = [
        {
            "owner": one.owner,
            "load_balancer": one.name,
            "away_from": one.shift.zone,
            "until": one.shift.end(now).isoformat(),
        }
        for one in shifted
        if one.shift
    ]
    click.echo(json.dumps(data))
