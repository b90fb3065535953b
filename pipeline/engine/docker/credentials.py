"""The credentials of registries, from Docker's own configuration. Imports the SDK."""

from __future__ import annotations

import shutil
from typing import Any

from docker.auth import AuthConfig
from docker.credentials.constants import PROGRAM_PREFIX
from docker.credentials.errors import StoreError
from docker.errors import DockerException


class CredentialsOnDemand(AuthConfig):
    """Credentials that ask a helper only for the registry of the image that is pulled.

    A helper that fails or is missing counts as one without credentials, as for Docker's command. `problem` then
    describes the fault.
    """

    is_empty = False

    def __init__(self, configured: AuthConfig) -> None:
        super().__init__(dict(configured), getattr(configured, "_credstore_env", None))
        self.problem: str | None = None

    @classmethod
    def install(cls, client: Any) -> None:
        """Make a client of the SDK use its credentials in this way."""
        client._auth_configs = cls(client._auth_configs)  # noqa: SLF001  # the SDK has no other way

    def resolve_authconfig(self, registry: str | None = None) -> Any:
        """Return the credentials for one registry, or None without any."""
        self.problem = None
        try:
            return super().resolve_authconfig(registry)
        except (DockerException, StoreError, OSError, ValueError, KeyError) as error:
            self.problem = f"Docker's credential helper for {registry} failed: {error}"
            return AuthConfig({"auths": dict(self.auths)}).resolve_authconfig(registry)

    def _get_store_instance(self, name: str) -> Any:
        """Return the client of a helper. The SDK prints a warning for a missing one."""
        program = f"{PROGRAM_PREFIX}{name}"
        if shutil.which(program) is None:
            raise StoreError(f"{program} is not installed")
        return super()._get_store_instance(name)  # type: ignore[misc]  # not in the SDK's type stubs

    def get_all_credentials(self) -> dict[str, Any]:
        """Return none. The classic builder's images are pulled before, and this would ask all helpers."""
        return {}
