"""The sources of mounts when a container is created. Links in them must not lead out of the policy's paths."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.base.errors import ConfigError
from pipeline.config.allowed_paths import covers, is_below, resolved
from pipeline.config.policy_file import read_policy


def resolved_mounts(policy: Path, volumes: Iterable[str]) -> tuple[str, ...]:
    """Return volumes as they are to be mounted now. `policy` is the policy's file.

    A source below a path of the policy may have been replaced by a link since the run was checked, for example by a
    container. Such a source is mounted by its resolved path. Raises `ConfigError` if that is not allowed. Any other
    source comes from a file of the owner, and stays as it is.
    """
    volumes = tuple(volumes)
    if not any(volume.startswith("/") for volume in volumes):
        return volumes
    allowed = read_policy(policy).volumes or ()
    return tuple(_resolved(volume, allowed, policy) for volume in volumes)


def _resolved(volume: str, allowed: tuple[str, ...], policy: Path) -> str:
    source, colon, rest = volume.partition(":")
    if not any(is_below(source, path) for path in allowed):
        return volume
    target = str(resolved(source))
    # Docker would take a colon for the end of the source.
    if ":" in target or not any(covers(path, source) for path in allowed):
        raise ConfigError(f"{policy} does not allow to mount {source}: its links lead out of volumes")
    return f"{target}{colon}{rest}"
