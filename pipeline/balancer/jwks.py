"""The keys of every issuer that a registry trusts, read from where they are published."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pipeline.balancer.key_set import KeySet, read_key_set
from pipeline.balancer.registry import Registry
from pipeline.base.errors import ConfigError

_logger = logging.getLogger(__name__)


def read_keys(registry: Registry) -> dict[str, KeySet]:
    """The keys of its issuers, read again where they may have changed.

    May take seconds for each, so nobody holds a lock meanwhile. Raises `ConfigError` where there are none at all.
    """
    return {source: _refresh(source, registry.key_sets.get(source)) for source in sorted(registry.issuers())}


def with_keys(registry: Registry, read: Mapping[str, KeySet]) -> Registry:
    """The registry with the keys that were `read`, where nobody has read later ones, and with nobody else's."""
    found = {source: _latest(source, read.get(source), registry.key_sets.get(source)) for source in registry.issuers()}
    return registry if found == registry.key_sets else registry.model_copy(update={"key_sets": found})


def _latest(source: str, read: KeySet | None, known: KeySet | None) -> KeySet:
    if read is None or known is None:
        # Neither: the issuer has become one of ours between the reading and now.
        return read or known or read_key_set(source)
    return known if known.read_at > read.read_at else read


def _refresh(source: str, known: KeySet | None) -> KeySet:
    """The keys of an issuer as they are now. Where they cannot be read, those that are known stay."""
    published = source.startswith("https://")
    if known and published and known.is_fresh:
        return known
    try:
        found = read_key_set(source)
    except ConfigError as error:
        if known is None:
            raise
        _logger.warning("the former keys stay: %s", error)
        return known.tried() if published else known
    return known if known and known.keys == found.keys and not published else found
