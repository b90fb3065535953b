"""The note about hosts that do not answer."""

from __future__ import annotations

from collections.abc import Mapping

import click

from pipeline.base.errors import EngineFault


class MissingHosts:
    """Prints on stderr which hosts do not answer, once each time that it begins, and which ones are back.

    `effect` is what it means for the command.
    """

    def __init__(self, effect: str = "its replicas are missing here") -> None:
        self._effect = effect
        self._told: set[str] = set()

    def update(self, missing: Mapping[str, EngineFault]) -> None:
        """Print what has changed. `missing` has all hosts that do not answer now."""
        for host in sorted(missing.keys() - self._told):
            self.add(host, missing[host])
        for host in sorted(self._told - missing.keys()):
            click.echo(f"note: host {host} answers again", err=True)
            self._told.discard(host)

    def add(self, host: str, fault: EngineFault) -> None:
        """Print that a host does not answer, unless it is known."""
        if host not in self._told:
            self._told.add(host)
            click.echo(f"note: host {host} does not answer, {self._effect}: {fault.reason(host)}", err=True)
