"""TLS between clients and a listener: certificates, policies, and certificates of clients."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.balancer.model.acme import AcmeCertificate
from pipeline.base.errors import FieldError
from pipeline.base.schema import Model


class Certificate(Model):
    """A certificate with its chain and its key, from files or from an authority. Reloaded when the files change."""

    certificate: str | None = Field(
        None, min_length=1, description="A PEM file with the certificate and its chain, relative to this file."
    )
    private_key: str | None = Field(
        None, description="A PEM file with the key. Not needed if the certificate's file holds it."
    )
    acme: AcmeCertificate | None = Field(
        None, description="Gets the certificate from an authority such as Let's Encrypt, in place of files."
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if self.acme is None and self.certificate is None:
            raise FieldError("certificate", "is missing; write a PEM file, or use acme")
        if self.acme is not None and (self.certificate or self.private_key):
            raise FieldError("acme", "has its own certificate and key; leave certificate and private_key out")
        return self


class MutualAuthentication(Model):
    """Verification of clients' certificates."""

    mode: Literal["verify", "passthrough"] = Field(
        description="verify: accepts only clients with a certificate from the trust store. passthrough: targets decide."
    )
    trust_store: str | None = Field(
        None, description="A PEM file with the trusted authorities, relative to this file. Required with mode: verify."
    )
    ignore_expiry: bool = Field(False, description="Accepts expired certificates. ELB: IgnoreClientCertificateExpiry.")

    @model_validator(mode="after")
    def _check_trust_store(self) -> Self:
        if (self.mode == "verify") != (self.trust_store is not None):
            raise FieldError("trust_store", "must be set with mode: verify, and only then")
        return self
