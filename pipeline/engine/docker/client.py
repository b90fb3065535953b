"""The client of the SDK, for a configuration of Docker in which a part is not valid. Imports the SDK."""

from __future__ import annotations

from typing import Any

from docker import APIClient

from pipeline.engine.docker.credentials import CredentialsOnDemand

_CREDENTIALS = ("auths", "credsStore", "credHelpers")


class DockerClient(APIClient):
    """A client whose credentials are read when an image is pulled, each for its own registry.

    The SDK reads all of them when it connects, so one invalid entry would stop everything.
    """

    _auth_configs: Any

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # If the SDK found no configuration, or one in the oldest format, it has read that already.
        read = self._credentials if self._general_configs else dict(self._auth_configs)
        self.credentials = self._auth_configs = CredentialsOnDemand(read)

    @property
    def _general_configs(self) -> dict[str, Any]:
        """The configuration, which the SDK sets. It has no other place to intervene."""
        return self._configuration

    @_general_configs.setter
    def _general_configs(self, loaded: dict[str, Any]) -> None:
        self._credentials = {key: loaded[key] for key in _CREDENTIALS if key in loaded}
        if not self._credentials and all(isinstance(value, dict) and "auth" in value for value in loaded.values()):
            self._credentials = {"auths": loaded}
        rest = {key: value for key, value in loaded.items() if key not in _CREDENTIALS and value is not None}
        proxies = rest.get("proxies")
        valid = {k: v for k, v in proxies.items() if isinstance(v, dict)} if isinstance(proxies, dict) else {}
        # The SDK would read the file again if nothing were left.
        self._configuration = {**rest, "proxies": valid} if loaded else {}
