"""ACM's operations on the certificates of a new home."""

from __future__ import annotations

import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.base.errors import StoreFault
from pipeline.certificates.acm import acm_service
from pipeline.certificates.authority import VALIDITY
from pipeline.certificates.store import CertificateStore
from tests.support.full_disk import fill

UNKNOWN = "arn:aws:acm:eu-west-1:000000000000:certificate/unknown"


class Acm:
    """A client. `used` has the load balancers of each certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = CertificateStore(folder)
        self.used: dict[str, list[str]] = {}
        self.now = datetime.now(UTC)
        self._service = acm_service(self.store, lambda _: self.used, lambda: self.now)

    def call(self, name: str, owner: str = "aws", **parameters: Any) -> dict[str, Any]:
        """Carry out an operation."""
        return dict(self._service.operations[name](Call(owner, "eu-west-1", parameters)))

    def refusal(self, name: str, **parameters: Any) -> tuple[str, str]:
        """Return the code and the message of an operation that must fail."""
        with pytest.raises(AwsError) as caught:
            self.call(name, **parameters)
        return caught.value.code, caught.value.message

    def describe(self, arn: str) -> dict[str, Any]:
        """Describe a certificate."""
        return dict(self.call("DescribeCertificate", CertificateArn=arn)["Certificate"])

    def request(self, name: str = "shop.example", **parameters: Any) -> str:
        """Request a certificate and return its ARN."""
        return str(self.call("RequestCertificate", DomainName=name, **parameters)["CertificateArn"])

    def files(self) -> list[Path]:
        """Return the files with keys."""
        return sorted(self.folder.glob("certificates/*.pem"))


@pytest.fixture
def acm(tmp_path: Path) -> Acm:
    """A client in a new home."""
    return Acm(tmp_path / "aws")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority of a client."""
    return trustme.CA()


def issued(authority: trustme.CA, *names: str, **options: Any) -> dict[str, bytes]:
    """Return the parameters of an import."""
    made = authority.issue_cert(*names, **options)
    return {
        "Certificate": made.cert_chain_pems[0].bytes(),
        "PrivateKey": made.private_key_pem.bytes(),
        "CertificateChain": authority.cert_pem.bytes(),
    }


def test_import(acm: Acm, authority: trustme.CA) -> None:
    """An imported certificate is described, returned with its chain, and kept with its key in one private file."""
    given = issued(authority, "shop.example", "*.shop.example")
    arn = acm.call("ImportCertificate", **given, Tags=[{"Key": "a", "Value": "b"}])["CertificateArn"]
    found = acm.describe(arn)
    assert (found["Type"], found["Status"], found["KeyAlgorithm"]) == ("IMPORTED", "ISSUED", "EC_prime256v1")
    assert found["SubjectAlternativeNames"] == ["shop.example", "*.shop.example"]
    returned = acm.call("GetCertificate", CertificateArn=arn)
    assert returned["Certificate"].encode() == given["Certificate"]
    assert returned["CertificateChain"].encode() == given["CertificateChain"]
    assert acm.call("ListTagsForCertificate", CertificateArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    (file,) = acm.files()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_bytes() == given["Certificate"] + given["CertificateChain"] + given["PrivateKey"]


def test_import_again(acm: Acm, authority: trustme.CA) -> None:
    """A new certificate replaces the one with the ARN, with its key."""
    arn = acm.call("ImportCertificate", **issued(authority, "a.example"))["CertificateArn"]
    later = issued(authority, "b.example")
    assert acm.call("ImportCertificate", CertificateArn=arn, **later)["CertificateArn"] == arn
    assert acm.describe(arn)["DomainName"] == "b.example"
    assert later["PrivateKey"] in acm.files()[0].read_bytes()
    tags = [{"Key": "a", "Value": "b"}]
    assert acm.refusal("ImportCertificate", CertificateArn=arn, Tags=tags, **later)[0] == "InvalidParameterException"
    assert acm.refusal("ImportCertificate", CertificateArn=UNKNOWN, **later)[0] == "ResourceNotFoundException"
    requested = acm.request()
    assert acm.refusal("ImportCertificate", CertificateArn=requested, **later)[0] == "InvalidParameterException"


def test_refused_imports(acm: Acm, authority: trustme.CA) -> None:
    """Parts that do not fit are refused with the part, and nothing is kept."""
    good, other = issued(authority, "a.example"), issued(trustme.CA(), "b.example")
    old = issued(authority, "c.example", not_after=datetime(2020, 1, 1))  # noqa: DTZ001  # trustme takes no other
    wrong = [
        ({**good, "Certificate": b"x"}, "The certificate is not in valid PEM format."),
        ({**good, "CertificateChain": b"x"}, "The certificate chain is not in valid PEM format."),
        ({**good, "PrivateKey": b"x"}, "The private key is not in valid PEM format."),
        ({**good, "PrivateKey": other["PrivateKey"]}, "does not match the public key in the certificate."),
        ({**good, "CertificateChain": other["CertificateChain"]}, "Could not validate the certificate with the"),
        ({**good, "Certificate": good["Certificate"] * 2}, "more than one certificate"),
        (old, "The certificate is not in its valid period."),
    ]  # fmt: skip
    for given, words in wrong:
        code, message = acm.refusal("ImportCertificate", **given)
        assert (code, words in message) == ("ValidationException", True), message
    assert acm.files() == []


def test_encrypted_key(acm: Acm, authority: trustme.CA) -> None:
    """An encrypted key is refused with the reason."""
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    given = issued(authority, "a.example")
    key = load_pem_private_key(given["PrivateKey"], None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    assert "is encrypted" in acm.refusal("ImportCertificate", **{**given, "PrivateKey": encrypted})[1]


@pytest.mark.parametrize("algorithm", ["RSA_2048", "EC_prime256v1", "EC_secp384r1"])
def test_requested_certificate(acm: Acm, algorithm: str) -> None:
    """A client that trusts the home's authority accepts a server with the requested certificate."""
    arn = acm.request("shop.example", SubjectAlternativeNames=["www.shop.example"], KeyAlgorithm=algorithm)
    found = acm.describe(arn)
    assert (found["Status"], found["Type"], found["KeyAlgorithm"]) == ("ISSUED", "AMAZON_ISSUED", algorithm)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(acm.files()[0])
    client = ssl.create_default_context(cadata=acm.call("GetCertificate", CertificateArn=arn)["CertificateChain"])
    near, far = socket.socketpair()

    def serve() -> None:
        with server.wrap_socket(far, server_side=True) as connection:
            connection.sendall(connection.recv(9))

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(near, server_hostname="www.shop.example") as connection:
        connection.sendall(b"hello")
        assert connection.recv(9) == b"hello"
    thread.join()


def test_one_authority(acm: Acm) -> None:
    """All certificates of a home have one issuer, whose key only its owner can read."""
    with ThreadPoolExecutor(4) as pool:
        arns = list(pool.map(lambda number: acm.request(f"{number}.example", KeyAlgorithm="EC_prime256v1"), range(8)))
    chains = {acm.call("GetCertificate", CertificateArn=arn)["CertificateChain"] for arn in arns}
    assert len(chains) == 1
    assert (acm.folder / "authority.pem").stat().st_mode & 0o777 == 0o600
    assert len(acm.call("ListCertificates", Includes={"keyTypes": ["EC_prime256v1"]})["CertificateSummaryList"]) == 8


def test_long_name(acm: Acm) -> None:
    """A domain name that is too long for a common name is an alternative name."""
    name = f"{'a' * 60}.shop.example"
    assert acm.describe(acm.request(name))["SubjectAlternativeNames"] == [name]


def test_validation(acm: Acm) -> None:
    """The method of validation is described as it was asked for, and each name is validated."""
    arn = acm.request(SubjectAlternativeNames=["*.shop.example"], ValidationMethod="DNS")
    first, second = acm.describe(arn)["DomainValidationOptions"]
    assert {each["ValidationStatus"] for each in (first, second)} == {"SUCCESS"}
    assert (first["ValidationMethod"], first["ResourceRecord"]) == ("DNS", second["ResourceRecord"])
    assert all("ValidationMethod" not in each for each in acm.describe(acm.request())["DomainValidationOptions"])


def test_token(acm: Acm) -> None:
    """A second request with the same token returns the same certificate."""
    first = acm.request(IdempotencyToken="a")
    serial = acm.describe(first)["Serial"]
    assert acm.request(IdempotencyToken="a") == first
    assert acm.describe(first)["Serial"] == serial
    assert acm.request(IdempotencyToken="b") != first


@pytest.mark.parametrize(
    "parameters",
    [
        {"CertificateAuthorityArn": "arn:aws:acm-pca:a:0:certificate-authority/b"},
        {"KeyAlgorithm": "RSA_1024"},
        {"Options": {"Export": "ENABLED"}},
        {"DomainValidationOptions": []},
        {"ValidationMethod": "EMAIL"},
    ],
)
def test_refused_requests(acm: Acm, parameters: dict[str, Any]) -> None:
    """What needs a public authority is refused."""
    assert acm.refusal("RequestCertificate", DomainName="a.example", **parameters)[0] == "InvalidParameterException"
    assert acm.files() == []


def test_expiry(acm: Acm) -> None:
    """A certificate after its time is expired, and found by that."""
    arn = acm.request()
    acm.now += VALIDITY + timedelta(seconds=1)
    assert acm.describe(arn)["Status"] == "EXPIRED"
    found = acm.call("ListCertificates", CertificateStatuses=["EXPIRED"])["CertificateSummaryList"]
    assert [each["CertificateArn"] for each in found] == [arn]
    assert acm.call("ListCertificates", CertificateStatuses=["ISSUED"])["CertificateSummaryList"] == []


def test_list(acm: Acm) -> None:
    """A list has pages and an order, and other types of keys only if they are asked for."""
    arns = []
    for number in range(3):
        acm.now += timedelta(seconds=1)
        arns.append(acm.request(f"{number}.example"))
    acm.request("ec.example", KeyAlgorithm="EC_prime256v1")
    first = acm.call("ListCertificates", MaxItems=2, SortBy="CREATED_AT", SortOrder="DESCENDING")
    second = acm.call(
        "ListCertificates", MaxItems=2, SortBy="CREATED_AT", SortOrder="DESCENDING", NextToken=first["NextToken"]
    )
    found = [*first["CertificateSummaryList"], *second["CertificateSummaryList"]]
    assert [each["CertificateArn"] for each in found] == arns[::-1]
    assert "NextToken" not in second
    used = acm.call("ListCertificates", Includes={"keyUsage": ["KEY_ENCIPHERMENT"]})["CertificateSummaryList"]
    assert len(used) == 3
    assert acm.refusal("ListCertificates", NextToken="x")[0] == "ValidationException"


def test_delete(acm: Acm) -> None:
    """A certificate is deleted with its key, unless a load balancer uses it."""
    arn = acm.request()
    acm.used[arn] = ["arn:aws:elasticloadbalancing:eu-west-1:000000000000:loadbalancer/app/web/1"]
    assert acm.describe(arn)["InUseBy"] == acm.used[arn]
    assert acm.refusal("DeleteCertificate", CertificateArn=arn)[0] == "ResourceInUseException"
    acm.used.clear()
    acm.call("DeleteCertificate", CertificateArn=arn)
    assert acm.files() == []
    assert acm.refusal("DeleteCertificate", CertificateArn=arn) == (
        "ResourceNotFoundException",
        f"Could not find certificate {arn}.",
    )


def test_owners(acm: Acm) -> None:
    """An owner does not see another one's certificate."""
    arn = acm.request()
    assert acm.call("ListCertificates", owner="other")["CertificateSummaryList"] == []
    assert acm.refusal("GetCertificate", owner="other", CertificateArn=arn)[0] == "ResourceNotFoundException"


def test_tags(acm: Acm) -> None:
    """Tags are added, replaced and removed. Two clients at once lose none."""
    arn = acm.request()
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(
            lambda number: acm.call("AddTagsToCertificate", CertificateArn=arn, Tags=[{"Key": str(number)}]), range(16)
        ):
            pass
    assert len(acm.call("ListTagsForCertificate", CertificateArn=arn)["Tags"]) == 16
    gone = [{"Key": str(number)} for number in range(15)] + [{"Key": "15", "Value": "other"}]
    acm.call("RemoveTagsFromCertificate", CertificateArn=arn, Tags=gone)
    assert acm.call("ListTagsForCertificate", CertificateArn=arn)["Tags"] == [{"Key": "15", "Value": ""}]
    reserved = [{"Key": "aws:a"}]
    assert acm.refusal("AddTagsToCertificate", CertificateArn=arn, Tags=reserved)[0] == "InvalidTagException"
    many = [{"Key": f"k{number}"} for number in range(50)]
    assert acm.refusal("AddTagsToCertificate", CertificateArn=arn, Tags=many)[0] == "TooManyTagsException"


def test_leftovers(acm: Acm) -> None:
    """The key that a killed call left behind is removed by the next change."""
    kept = acm.request()
    left = acm.files()[0].with_name("left.pem")
    left.write_text("key")
    acm.request("other.example")
    assert left not in acm.files()
    assert acm.describe(kept)["Status"] == "ISSUED"


def test_the_deletion_of_what_is_gone_removes_what_it_has_left(acm: Acm) -> None:
    """A deletion that was killed after it wrote the index has left the key. So has a draft of a key."""
    arn = acm.request()
    (file,) = acm.files()
    key = file.read_bytes()
    acm.call("DeleteCertificate", CertificateArn=arn)
    for left in (file, file.with_name(f".{file.name}.123"), acm.folder / ".authority.pem.123"):
        left.write_bytes(key)
    acm.store.delete("aws", arn)
    assert acm.files() == []
    assert list(acm.folder.rglob(".*")) == []


def test_full_disk(small_disk: Path, authority: trustme.CA) -> None:
    """A certificate that cannot be stored is not there, and one that cannot be replaced stays with its key."""
    acm = Acm(small_disk / "aws")
    first = issued(authority, "a.example")
    arn = acm.call("ImportCertificate", **first)["CertificateArn"]
    fill(small_disk)
    for again in ({}, {"CertificateArn": arn}):
        with pytest.raises(StoreFault, match="cannot write"):
            acm.call("ImportCertificate", **issued(authority, "b.example"), **again)
    assert acm.describe(arn)["DomainName"] == "a.example"
    (file,) = acm.files()
    assert first["PrivateKey"] in file.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("certificates.json", "{", "cannot read"),
        ("certificates.json", '{"version": 9}', "another version"),
        ("authority.pem", "x", "cannot read"),
    ],
)
def test_damaged(acm: Acm, name: str, content: str, words: str) -> None:
    """A damaged file is refused and kept."""
    acm.request()
    (acm.folder / name).write_text(content)
    with pytest.raises(StoreFault, match=words):
        acm.request("other.example")
    assert (acm.folder / name).read_text() == content


def test_damaged_certificate(acm: Acm) -> None:
    """A certificate that cannot be read is reported with its file."""
    arn = acm.request()
    acm.files()[0].write_text("x")
    with pytest.raises(StoreFault, match="cannot read"):
        acm.describe(arn)


def test_self_signed(acm: Acm, authority: trustme.CA) -> None:
    """A certificate without a chain is accepted, and has no names if it names no host."""
    key = authority.private_key_pem.bytes()
    arn = acm.call("ImportCertificate", Certificate=authority.cert_pem.bytes(), PrivateKey=key)["CertificateArn"]
    found = acm.describe(arn)
    assert (found["SubjectAlternativeNames"], "DomainName" in found) == ([], False)
    assert acm.call("GetCertificate", CertificateArn=arn)["CertificateChain"] is None
    assert x509.load_pem_x509_certificates(acm.files()[0].read_bytes())
