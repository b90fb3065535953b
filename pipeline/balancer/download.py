"""Download of a small file over https:// with a deadline for the whole transfer."""

from __future__ import annotations

from urllib.parse import urljoin

from pipeline.base.deadline import within
from pipeline.base.errors import ConfigError

TIMEOUT = 5.0
"""Seconds for the whole download: name resolution, connections, redirects and content."""
_MAX_REDIRECTS = 5


def download(source: str, limit: int, timeout: float = TIMEOUT) -> bytes:
    """Return the content of an https:// URL. Reads at most `limit` + 1 bytes, so the caller can detect an excess.

    Raises `ConfigError` with the reason if that fails or takes longer than `timeout` seconds.
    """
    import requests
    from urllib3.exceptions import HTTPError

    try:
        return within(timeout, lambda: _content(source, limit, timeout))
    except TimeoutError:
        raise ConfigError(f"{source} cannot be fetched within {timeout:g} s") from None
    except (requests.RequestException, HTTPError, ValueError) as error:
        raise ConfigError(f"{source} cannot be fetched: {error}") from error


def _content(source: str, limit: int, timeout: float) -> bytes:
    import requests

    url = source
    for _ in range(_MAX_REDIRECTS + 1):
        if not url.startswith("https://"):
            raise ConfigError(f"{source} cannot be fetched: it redirects to {url}, which is not https://")
        # With allow_redirects, it would follow to http:// too, and read the body of a redirect without limit.
        with requests.get(url, timeout=timeout, stream=True, allow_redirects=False) as response:
            if not response.is_redirect:
                response.raise_for_status()
                return bytes(response.raw.read(limit + 1, decode_content=True))
            url = urljoin(url, response.headers["location"])
    raise ConfigError(f"{source} cannot be fetched: it redirects more than {_MAX_REDIRECTS} times")
