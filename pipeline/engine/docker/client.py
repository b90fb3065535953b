"""The client of the SDK, which shares connections and bears an invalid configuration of Docker. Imports the SDK."""

from __future__ import annotations

from typing import Any

from docker import APIClient
from docker.transport import UnixHTTPAdapter

from pipeline.engine.docker.credentials import CredentialsOnDemand

_CREDENTIALS = ("auths", "credsStore", "credHelpers")


class DockerClient(APIClient):
    """A client whose credentials are read when an image is pulled, each for its own registry.

    The SDK reads all of them when it connects, so one invalid entry would stop everything.
    """

    _auth_configs: Any
    _custom_adapter: Any

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # If the SDK found no configuration, or one in the oldest format, it has read that already.
        read = self._credentials if self._general_configs else dict(self._auth_configs)
        self.credentials = self._auth_configs = CredentialsOnDemand(read)
        if isinstance(given := self.get_adapter(self.base_url), UnixHTTPAdapter):
            given.close()
            self._custom_adapter = _SharedConnections(
                given.socket_path, given.timeout, max_pool_size=given.max_pool_size
            )
            self.mount("http+docker://", self._custom_adapter)

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


class _SharedConnections(UnixHTTPAdapter):
    """Uses a connection for every path. The SDK keeps a pool for each of the last 25 paths."""

    def get_connection(self, url: Any, proxies: Any = None) -> Any:  # noqa: ARG002  # the SDK's signature
        return super().get_connection(self.socket_path, proxies)
