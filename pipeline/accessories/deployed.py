"""The accessories in the file of the commit that was deployed last. The served file may not have them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.config.accessory import Accessory
from pipeline.store.store import Store


def deployed_accessories(store: Store, pipeline: str) -> dict[str, Accessory]:
    """Return the accessories of the last deployment. Raises `StoreFault`."""
    found = store.accessories.deployed(pipeline)
    return {name: Accessory.model_validate_json(settings) for name, settings in found.items()}


def known_accessories(store: Store, pipeline: str, settings: Mapping[str, Accessory]) -> dict[str, Accessory]:
    """Return the accessories of a file, and those of the last deployment that it does not have."""
    return {**deployed_accessories(store, pipeline), **settings}


def as_stored(settings: Mapping[str, Accessory]) -> dict[str, str]:
    """Return accessories as the store keeps them. Secrets are in it by name only."""
    return {
        name: json.dumps(each.model_dump(mode="json", by_alias=True, exclude_defaults=True), sort_keys=True)
        for name, each in settings.items()
    }
