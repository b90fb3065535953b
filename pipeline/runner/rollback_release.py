"""The release that a rollback means."""

from __future__ import annotations

from pipeline.base.errors import ConfigError
from pipeline.store.records import Release, ReleaseState
from pipeline.store.store import Store

_HINT = "`pipeline releases` lists them"
_NONE_HINT = "it must have been active before: `pipeline releases` shows the state of each"


def rollback_release(store: Store, pipeline: str, number: int | None) -> Release:
    """Return release `number`, or without one the latest that was active before the active one.

    After a rollback to the oldest release, that is the latest retired one. Raises `ConfigError` if there is none.
    """
    releases = [r for r in store.releases.all(pipeline) if r.state is not ReleaseState.PENDING]
    if number is None:
        return _previous(releases, store.releases.active(pipeline))
    found = next((r for r in releases if r.number == number), None)
    if found is None:
        raise ConfigError(f"there is no release {number}", hint=_HINT)
    if found.state is ReleaseState.FAILED:
        raise ConfigError(f"release {number} was never active: it failed", hint=_HINT)
    if found.state is ReleaseState.ACTIVE:
        raise ConfigError(f"release {number} is already active")
    return found


def _previous(releases: list[Release], active: Release | None) -> Release:
    retired = [r for r in releases if r.state is ReleaseState.RETIRED]
    if not retired:
        raise ConfigError("there is no previous release to roll back to", hint=_NONE_HINT)
    older = [r for r in retired if active is None or r.number < active.number]
    return (older or retired)[0]
