"""The application of a pipeline in the daemon, for its output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from pipeline.base.errors import EngineFault
from pipeline.base.home import Home
from pipeline.engine import hosts
from pipeline.engine.cluster_members import console_of
from pipeline.engine.console import Console
from pipeline.http.app_log import Entry
from pipeline.http.responses.log import LogLineResponse
from pipeline.runner.context import PipelineContext

# The daemon is connected to the hosts already.
_SILENCE = timedelta(seconds=3)


class MissingHosts:
    """The hosts that do not answer now, each with the reason."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def update(self, missing: Mapping[str, EngineFault], /) -> None:
        """Take over which hosts do not answer now."""
        self.reasons = {host: fault.reason(host) for host, fault in missing.items()}

    def add(self, host: str, fault: EngineFault, /) -> None:
        """Take over that a host does not answer."""
        self.reasons[host] = fault.reason(host)


@dataclass(frozen=True)
class LoggedApp:
    """See `pipeline.http.app_log.App`."""

    home: Home
    pipeline: str
    console: Console
    hosts: MissingHosts = field(default_factory=MissingHosts)


@contextmanager
def logged_app(context: PipelineContext) -> Iterator[LoggedApp]:
    """Yield the application of a pipeline. Connects to nothing yet."""
    store, home = context.store, context.home
    console = (
        console_of(store.clusters.of(context.pipeline), home.id, home.hosts, silence=_SILENCE)
        if store.releases.has_cluster(context.pipeline)
        else hosts.local_console(home.id)
    )
    with closing(console):
        yield LoggedApp(home, context.pipeline, console)


def line_response(entry: Entry, context: PipelineContext) -> LogLineResponse:
    """Return a line as it is shown."""
    replica = entry.replica
    return LogLineResponse(
        at=entry.stamp.decode(errors="replace"),
        service=replica.service,
        release=replica.release,
        replica=replica.name,
        text=context.mask(entry.text.decode(errors="replace")),
    )
