"""The differences between an accessory's container and pipeline.yaml. A deployment reports them and changes nothing."""

from __future__ import annotations

from pipeline.accessories.record import Version, secrets_digest
from pipeline.config.accessory import Accessory
from pipeline.config.secrets import Secrets

SECRETS = "the value of a secret"


def differences(version: Version, settings: Accessory, secrets: Secrets | None = None) -> list[str]:
    """Return the keys of pipeline.yaml that differ from what a container was made from.

    With `secrets`, changed values of secrets count too. Raises `ConfigError` for a missing one.
    """
    made, wanted = version.settings.made_from(), settings.made_from()
    found = sorted(key for key in made.keys() | wanted.keys() if made.get(key) != wanted.get(key))
    if secrets is not None and "environment" not in found and secrets_digest(settings, secrets) != version.secrets:
        found.append(SECRETS)
    return found


def describe(name: str, keys: list[str]) -> str:
    """Return a line about the differences, with the command that applies them."""
    return f"accessory {name} differs from pipeline.yaml in {', '.join(keys)}: `pipeline accessory upgrade {name}`"


def describe_undeclared(name: str) -> str:
    """Return a line about an accessory that is not in pipeline.yaml, with the command that removes it."""
    return f"accessory {name} is not in pipeline.yaml: `pipeline accessory stop {name}` removes it"
