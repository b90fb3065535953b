"""The keys of every issuer that a registry trusts, read from their published sources."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta

from pipeline.balancer.key_set import KeySet, read_key_set
from pipeline.balancer.registry import Registry
from pipeline.base.errors import ConfigError

_logger = logging.getLogger(__name__)


def read_keys(registry: Registry) -> dict[str, KeySet]:
    """Return the keys of the registry's issuers, read again if they may have changed.

    May take seconds for each issuer, so call it without the lock. Raises `ConfigError` if an issuer has no keys yet and
    they cannot be read.
    """
    return {source: _refresh(source, registry.key_sets.get(source)) for source in sorted(registry.issuers())}


def with_keys(registry: Registry, read: Mapping[str, KeySet]) -> Registry:
    """Return the registry with the keys of its issuers only. Keys that were read later than `read` stay."""
    found = {source: _latest(source, read.get(source), registry.key_sets.get(source)) for source in registry.issuers()}
    return registry if found == registry.key_sets else registry.model_copy(update={"key_sets": found})


def _latest(source: str, read: KeySet | None, known: KeySet | None) -> KeySet:
    if read is None or known is None:
        # If both are None, the issuer was added after the keys were read.
        return read or known or read_key_set(source)
    return known if known.read_at.since(read.read_at) > timedelta(0) else read


def _refresh(source: str, known: KeySet | None) -> KeySet:
    """Return the current keys of an issuer. If they cannot be read, the known ones stay."""
    published = source.startswith("https://")
    if known and published and known.is_fresh:
        return known
    try:
        found = read_key_set(source)
    except ConfigError as error:
        if known is None:
            raise
        _logger.warning("keeping the previous keys: %s", error)
        return known.tried() if published else known
    return known if known and known.keys == found.keys and not published else found
