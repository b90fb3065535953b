"""The maps of the running HAProxy, which are changed without a reload."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.balancer.haproxy.configuration import RenderedConfig
from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.haproxy.directory import Directory


class LoadedMaps:
    """The maps that HAProxy has loaded, and their files, from which the next HAProxy loads them."""

    def __init__(self, runtime: Runtime, files: Directory) -> None:
        self._runtime = runtime
        self._files = files

    def update(self, maps: Mapping[str, Mapping[str, str]]) -> None:
        """Make the loaded maps of these names equal to these."""
        for name, entries in maps.items():
            if self._runtime.entries(name) != entries:
                self._files.write(name, RenderedConfig.as_file(entries))
                self._runtime.replace_entries(name, entries)

    def add(self, name: str, entries: Mapping[str, str]) -> None:
        """Add entries to a map, in place of those with the same keys."""
        self.update({name: {**self._runtime.entries(name), **entries}})
