"""TLS between clients and a listener: certificates, policies, and certificates of clients."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.base.errors import FieldError
from pipeline.base.schema import Model

# ELB's policies by name: the lowest version, and whether old cipher suites (CBC, no forward secrecy) are offered.
SslPolicy = Literal[
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "ELBSecurityPolicy-TLS13-1-0-2021-06",
]
DEFAULT_POLICY: SslPolicy = "ELBSecurityPolicy-TLS13-1-2-2021-06"


class Certificate(Model):
    """A certificate with its chain, and its key. Read again when the files change."""

    certificate: str = Field(
        min_length=1, description="A PEM file with the certificate and its chain, relative to this file."
    )
    private_key: str | None = Field(
        None, description="A PEM file with the key. Left out where the certificate's file holds it."
    )


class MutualAuthentication(Model):
    """Certificates of clients."""

    mode: Literal["verify", "passthrough"] = Field(
        description="verify: only clients with a certificate of the trust store get in. passthrough: targets decide."
    )
    trust_store: str | None = Field(
        None, description="A PEM file with the authorities to trust, relative to this file. For verify, needed."
    )
    ignore_expiry: bool = Field(
        False, description="Whether certificates that have expired are good too. ELB: IgnoreClientCertificateExpiry."
    )

    @model_validator(mode="after")
    def _trusts_somebody(self) -> Self:
        if (self.mode == "verify") != (self.trust_store is not None):
            raise FieldError("trust_store", "goes with mode: verify, and verify needs one")
        return self
