"""The settings of the web interface, `$PENSTOCK_HOME/web.yaml`."""

from __future__ import annotations

import stat
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator

from pipeline.balancer.model import Model
from pipeline.base.errors import ConfigError
from pipeline.config.document import read_document
from pipeline.config.validation import problems_of

ANY_USER = "*"


def _checked_url(text: str) -> str:
    parts = urlsplit(text)
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in ("http", "https") or not parts.hostname or rest or parts.port == 0:
        raise ValueError("must be http:// or https:// with a host and no path, such as https://ci.example.com")
    return text.rstrip("/")


def _checked_header(text: str) -> str:
    if not text.replace("-", "").isalnum() or not text.isascii():
        raise ValueError("must be the name of an HTTP header, such as X-Forwarded-User")
    return text.lower()


def _checked_host(text: str) -> str:
    if not text or any(character in text for character in "/@ ,"):
        raise ValueError("must be a host name without a scheme, such as ci.example.com")
    return text.lower()


Host = Annotated[str, AfterValidator(_checked_host)]


class IdentityHeader(Model):
    """The header in which a proxy sends the name of a user that it has authenticated."""

    header: Annotated[str, AfterValidator(_checked_header)] = Field(description="Name of the header.")
    look: tuple[str, ...] = Field((), description="Users who may look. `*` means all that the proxy names.")
    operate: tuple[str, ...] = Field((), description="Users who may use buttons, too. `*` means all.")


class WebSettings(Model):
    """Who may reach the web interface, and how."""

    url: Annotated[str, AfterValidator(_checked_url)] | None = Field(
        None, description="The URL that users open, if it is not the address of --web."
    )
    hosts: tuple[Host, ...] = Field((), description="Further names that a request may have in its Host header.")
    certificate: Path | None = Field(None, description="File with the certificate and its chain, as PEM.")
    key: Path | None = Field(None, description="File with the certificate's private key, as PEM.")
    proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="Networks of proxies. Only these may connect without TLS from another machine."
    )
    identity: IdentityHeader | None = Field(None, description="Users that the proxies have authenticated.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key require each other")
        if self.identity and not self.proxies:
            raise ValueError("identity requires proxies: any client could send its header")
        return self

    @property
    def has_tls(self) -> bool:
        """True if users' browsers see HTTPS, of this server or of a proxy."""
        return self.certificate is not None or (self.url or "").startswith("https://")

    @property
    def scheme(self) -> str:
        """The scheme of this server."""
        return "https" if self.certificate else "http"

    @property
    def known_hosts(self) -> frozenset[str]:
        """All names that a Host header may have besides those of loopback."""
        own = urlsplit(self.url).hostname if self.url else None
        return frozenset((*self.hosts, *([own] if own else [])))

    def is_proxy(self, address: str) -> bool:
        """Return whether a peer is a proxy. A server at an address of IPv6 sees peers of IPv4 as `::ffff:10.1.0.3`."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self.proxies)


def read_settings(path: Path) -> WebSettings:
    """Return the settings in a file, or the default ones if there is none. Raises `ConfigError`."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return WebSettings()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if mode & 0o022:
        raise ConfigError(f"{path} must be writable only by its owner, got mode {mode:04o}", hint=f"chmod go-w {path}")
    document = read_document(path)
    try:
        settings = WebSettings.model_validate(document.data)
    except ValidationError as error:
        problems = (*document.problems, *problems_of(error, document, WebSettings))
        raise ConfigError(source=str(path), problems=problems) from None
    if document.problems:
        raise ConfigError(source=str(path), problems=tuple(document.problems))
    return settings
