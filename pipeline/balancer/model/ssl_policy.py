"""ELB's policies for TLS: versions and cipher suites by name.

The tables are those of ELB:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SslPolicyName = Literal[
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
    "ELBSecurityPolicy-TLS13-1-1-2021-06",
    "ELBSecurityPolicy-TLS13-1-0-2021-06",
    "ELBSecurityPolicy-2016-08",
    "ELBSecurityPolicy-TLS-1-1-2017-01",
    "ELBSecurityPolicy-TLS-1-2-2017-01",
    "ELBSecurityPolicy-TLS-1-2-Ext-2018-06",
    "ELBSecurityPolicy-FS-2018-06",
    "ELBSecurityPolicy-FS-1-1-2019-08",
    "ELBSecurityPolicy-FS-1-2-2019-08",
    "ELBSecurityPolicy-FS-1-2-Res-2019-08",
    "ELBSecurityPolicy-FS-1-2-Res-2020-10",
]
DEFAULT_POLICY: SslPolicyName = "ELBSecurityPolicy-TLS13-1-2-2021-06"

TLS13_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""The suites of TLS 1.3, in ELB's order."""
_VERSIONS = ("TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_GCM = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
_SHA2 = (
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
)
_SHA1 = (
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
)
_STATIC = ("AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256")
_STATIC_SHA1 = ("AES128-GCM-SHA256", "AES128-SHA256", "AES128-SHA", "AES256-GCM-SHA384", "AES256-SHA256", "AES256-SHA")
_FORWARD, _ALL = (*_GCM, *_SHA2, *_SHA1), (*_GCM, *_SHA2, *_SHA1, *_STATIC_SHA1)


@dataclass(frozen=True)
class SslPolicy:
    """A policy: the lowest and the highest version, and the suites before TLS 1.3, the first one preferred."""

    lowest: str
    highest: str
    suites: tuple[str, ...]

    @property
    def versions(self) -> tuple[str, ...]:
        """All versions, the lowest first."""
        return _VERSIONS[_VERSIONS.index(self.lowest) : _VERSIONS.index(self.highest) + 1]


def _since(lowest: str, *suites: str) -> SslPolicy:
    return SslPolicy(lowest, "TLSv1.3", suites)


def _until_12(lowest: str, *suites: str) -> SslPolicy:
    return SslPolicy(lowest, "TLSv1.2", suites)


SSL_POLICIES: dict[SslPolicyName, SslPolicy] = {
    "ELBSecurityPolicy-TLS13-1-3-2021-06": _since("TLSv1.3"),
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06": _since("TLSv1.2", *_GCM),
    "ELBSecurityPolicy-TLS13-1-2-2021-06": _since("TLSv1.2", *_GCM, *_SHA2),
    "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06": _since("TLSv1.2", *_GCM, *_SHA2, *_STATIC),
    "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06": _since("TLSv1.2", *_ALL),
    "ELBSecurityPolicy-TLS13-1-1-2021-06": _since("TLSv1.1", *_ALL),
    "ELBSecurityPolicy-TLS13-1-0-2021-06": _since("TLSv1.0", *_ALL),
    "ELBSecurityPolicy-2016-08": _until_12("TLSv1.0", *_ALL),
    "ELBSecurityPolicy-TLS-1-1-2017-01": _until_12("TLSv1.1", *_ALL),
    "ELBSecurityPolicy-TLS-1-2-2017-01": _until_12("TLSv1.2", *_GCM, *_SHA2, *_STATIC),
    "ELBSecurityPolicy-TLS-1-2-Ext-2018-06": _until_12("TLSv1.2", *_ALL),
    "ELBSecurityPolicy-FS-2018-06": _until_12("TLSv1.0", *_FORWARD),
    "ELBSecurityPolicy-FS-1-1-2019-08": _until_12("TLSv1.1", *_FORWARD),
    "ELBSecurityPolicy-FS-1-2-2019-08": _until_12("TLSv1.2", *_FORWARD),
    "ELBSecurityPolicy-FS-1-2-Res-2019-08": _until_12("TLSv1.2", *_GCM, *_SHA2),
    "ELBSecurityPolicy-FS-1-2-Res-2020-10": _until_12("TLSv1.2", *_GCM),
}
