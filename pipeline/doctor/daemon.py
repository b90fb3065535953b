"""The daemon of the home, and the git hooks that notify it."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline import __version__
from pipeline.base.errors import ConfigError
from pipeline.base.remote_url import is_url
from pipeline.doctor.check import Check
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.finding import Finding
from pipeline.http.client import Daemon
from pipeline.triggers.hook import GitHooks


def daemon_checks(context: DoctorContext) -> Iterator[Check]:
    """Yield the checks of what runs new commits."""
    yield Check("daemon", lambda: [_daemon(context)])
    if context.configuration is not None and not is_url(context.configuration.pipeline.source.repository):
        yield Check("hooks", lambda: [_hooks(context)])


def _daemon(context: DoctorContext) -> Finding:
    daemon = Daemon.find(context.home)
    if daemon is None:
        if context.home.daemon_socket.exists():
            return Finding.failed("daemon", "it does not respond", "look at its log, or end it: `pipeline serve` again")
        text = "it does not run, so nothing runs new commits or replaces what fails"
        return Finding.warning("daemon", text, "pipeline service install, or pipeline serve")
    if daemon.version != __version__:
        text = f"it is version {daemon.version}, and this is {__version__}"
        return Finding.warning("daemon", text, "restart it: systemctl restart penstock")
    name = context.configuration.pipeline.name if context.configuration else None
    if name is not None and name not in daemon.pipelines:
        hint = "give it this file too: pipeline serve FILE …, or pipeline service install FILE …"
        return Finding.warning("daemon", f"it runs, and does not manage {name}", hint)
    return Finding.ok("daemon", f"version {daemon.version}, manages {', '.join(sorted(daemon.pipelines)) or 'nothing'}")


def _hooks(context: DoctorContext) -> Finding:
    assert context.configuration is not None
    place = context.configuration.path.parent / context.configuration.pipeline.source.repository
    try:
        found = GitHooks.find(place)
    except ConfigError as error:
        return Finding.failed("hooks", error.message, error.hint or "git init, or set source.repository")
    kinds = found.installed(context.home)
    if kinds:
        return Finding.ok("hooks", f"{', '.join(kinds)} of {found.directory} notify the daemon")
    return Finding.ok("hooks", f"{found.directory} has none; the daemon watches its refs")
