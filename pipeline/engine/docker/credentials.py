"""The credentials of registries, from Docker's own configuration. Imports the SDK."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from docker.auth import INDEX_NAME, AuthConfig, resolve_index_name
from docker.credentials.constants import PROGRAM_PREFIX
from docker.credentials.errors import StoreError
from docker.errors import DockerException


class CredentialsOnDemand(AuthConfig):
    """Credentials that are looked up only for the registry of the image that is pulled.

    A helper that fails or is missing counts as one without credentials, as for Docker's command, and so does an entry
    that is not valid. `problem` then says what happened.
    """

    is_empty = False

    def __init__(self, configured: Mapping[str, Any]) -> None:
        super().__init__({"auths": _dictionary(configured.get("auths"))})
        self["credHelpers"] = _dictionary(configured.get("credHelpers"))
        self["credsStore"] = configured.get("credsStore")
        self.problem: str | None = None

    def resolve_authconfig(self, registry: str | None = None) -> Any:
        """Return the credentials for one registry, or None without any."""
        self.problem = None
        try:
            helper = self.get_credential_store(registry)
            if found := self._resolve_authconfig_credstore(registry, helper) if helper else None:  # type: ignore[attr-defined]
                return found
        except (DockerException, StoreError, OSError, ValueError, TypeError, KeyError) as error:
            self.problem = f"Docker's credential helper for {registry} failed: {error}"
        try:
            return self._in_file(registry)
        except (DockerException, ValueError, TypeError, AttributeError) as error:
            self.problem = f"Docker's configuration has invalid credentials for {registry}: {error}"
            return None

    def _in_file(self, registry: str | None) -> Any:
        name = resolve_index_name(registry) if registry else INDEX_NAME
        # An exact name counts before an address of the same host.
        for key in sorted(self.auths, key=lambda key: key != name):
            if name in (key, resolve_index_name(key)):
                return self.parse_auth({key: self.auths[key]}, raise_on_error=True)[key]
        return None

    def _get_store_instance(self, name: str) -> Any:
        """Return the client of a helper. The SDK prints a warning for a missing one."""
        program = f"{PROGRAM_PREFIX}{name}"
        if shutil.which(program) is None:
            raise StoreError(f"{program} is not installed")
        return super()._get_store_instance(name)  # type: ignore[misc]  # not in the SDK's type stubs

    def get_all_credentials(self) -> dict[str, Any]:
        """Return none. The classic builder's images are pulled before, and this would ask all helpers."""
        return {}


def _dictionary(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}
