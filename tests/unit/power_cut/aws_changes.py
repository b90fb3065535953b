"""A program that changes what AWS clients keep in a home, and writes a byte to `acknowledged` after each change."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from pipeline.aws.keys import AccessKeys
from pipeline.aws.service import Call
from pipeline.base.home import Home
from pipeline.certificates.acm import acm_service
from pipeline.certificates.authority import Authority
from pipeline.certificates.store import CertificateStore
from pipeline.network.ec2 import ec2_service
from pipeline.network.store import NetworkStore
from pipeline.network.zones import DEFAULT_ZONES

root = Path(sys.argv[1])
home = Home.locate({"PENSTOCK_HOME": str(root / "home")})
keys, store = AccessKeys(home.aws), CertificateStore(home.aws)
acm = acm_service(store, lambda _: {}).operations
ec2 = ec2_service(NetworkStore(home.aws, DEFAULT_ZONES), lambda _: (), lambda _: ()).operations
authority = Authority.open(root / "authority.pem", datetime.now(UTC))


def put(name: str, **parameters: str) -> str:
    """Import a certificate for a name and return its ARN."""
    issued = authority.issue([name], "EC_prime256v1", datetime.now(UTC))
    given = {"Certificate": issued.chain.text.encode(), "PrivateKey": issued.key}
    return str(acm["ImportCertificate"](Call("aws", "a", {**given, **parameters}))["CertificateArn"])


with (root / "acknowledged").open("wb", buffering=0) as acknowledged:
    arn = put("one.example")
    acknowledged.write(b".")
    put("two.example", CertificateArn=arn)
    acknowledged.write(b".")
    put("three.example")
    acknowledged.write(b".")
    acm["DeleteCertificate"](Call("aws", "a", {"CertificateArn": arn}))
    acknowledged.write(b".")
    keys.create("aws")
    acknowledged.write(b".")
    ec2["CreateVpc"](Call("aws", "a", {"CidrBlock": "10.0.0.0/16"}))
    acknowledged.write(b".")
