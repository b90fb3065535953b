"""The endpoint over HTTP, as botocore's clients see it."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pipeline.aws.errors import AwsError
from pipeline.aws.keys import AccessKey
from pipeline.aws.service import Call, Service
from pipeline.aws.sts import sts_service
from pipeline.base.errors import ConfigError, StoreFault
from tests.support.aws import REGION, AwsServer, aws_server, refusal
from tests.support.waiting import DEADLINE

CALLS: list[Call] = []
NOW = datetime(2026, 5, 1, tzinfo=UTC)
GROUP = {
    "TargetGroupName": "web",
    "Matcher": {"HttpCode": "200"},
    "HealthCheckEnabled": True,
    "Port": 80,
    "LoadBalancerArns": [],
}


def _describe_groups(call: Call) -> dict[str, Any]:
    CALLS.append(call)
    return {"TargetGroups": [GROUP], "NextMarker": None}


def _delete_group(call: Call) -> dict[str, Any]:
    CALLS.append(call)
    return {}


def _fail(call: Call) -> dict[str, Any]:
    match call.parameters["LoadBalancerArn"]:
        case "aws":
            raise AwsError("LoadBalancerNotFound", "One or more load balancers not found <&>")
        case "config":
            raise ConfigError("port 80 is taken", hint="use another one")
        case "fault":
            raise StoreFault("the disk is full")
    raise RuntimeError("a secret")


def _wrong_result(_: Call) -> dict[str, Any]:
    return {"Policies": []}


SERVICES = (
    sts_service(),
    Service(
        "elbv2",
        "2015-12-01",
        "elasticloadbalancing",
        {
            "DescribeTargetGroups": _describe_groups,
            "DeleteTargetGroup": _delete_group,
            "DeleteLoadBalancer": _fail,
            "DescribeSSLPolicies": _wrong_result,
        },
        {"CreateTrustStore": "There is no S3 here."},
    ),
    Service("acm", "2015-12-08", "acm", {"GetCertificate": lambda _: {"Certificate": "text"}}),
    Service("ec2", "2016-11-15", "ec2", {"DescribeVpcs": lambda _: {"Vpcs": []}}),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AwsServer]:
    """A server with a few operations."""
    CALLS.clear()
    with aws_server(tmp_path / "aws", SERVICES) as running:
        yield running


@pytest.fixture
def elbv2(server: AwsServer) -> Any:
    """A client of elbv2."""
    return server.client("elbv2")


def test_identity(server: AwsServer) -> None:
    """The owner of the key is the user."""
    found = server.client("sts").get_caller_identity()
    assert (found["Account"], found["Arn"]) == ("000000000000", "arn:aws:iam::000000000000:user/aws")


def test_call(server: AwsServer, elbv2: Any) -> None:
    """An operation gets the owner, the region of the signature, and its parameters by botocore's names and types."""
    found = elbv2.describe_target_groups(Names=["web", "b c&d=é+%"], PageSize=7)
    assert found["TargetGroups"] == [GROUP]
    assert "NextMarker" not in found
    (call,) = CALLS
    assert (call.owner, call.region, call.account) == ("aws", REGION, "000000000000")
    assert call.parameters == {"Names": ["web", "b c&d=é+%"], "PageSize": 7}
    assert found["ResponseMetadata"]["RequestId"] == call.request_id


def test_empty_and_absent_lists(elbv2: Any) -> None:
    """A list that is sent empty is empty, and one that is not sent is missing."""
    elbv2.describe_target_groups(Names=[])
    elbv2.describe_target_groups()
    assert [call.parameters for call in CALLS] == [{"Names": []}, {}]


def test_empty_result(elbv2: Any) -> None:
    """An operation without results answers with the wrapper that clients look for."""
    assert list(elbv2.delete_target_group(TargetGroupArn="a")) == ["ResponseMetadata"]


def test_error(elbv2: Any) -> None:
    """An error of an operation reaches the client with its code, as the exception of its model."""
    with pytest.raises(elbv2.exceptions.LoadBalancerNotFoundException) as caught:
        elbv2.delete_load_balancer(LoadBalancerArn="aws")
    assert caught.value.response["Error"]["Message"] == "One or more load balancers not found <&>"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("config", "ValidationError", "port 80 is taken (use another one)"),
        ("fault", "ServiceUnavailable", "the disk is full"),
    ],
)
def test_faults(elbv2: Any, name: str, code: str, message: str) -> None:
    """Penstock's own errors reach the client with their text and their hint."""
    assert refusal(elbv2.delete_load_balancer, LoadBalancerArn=name) == (code, message)


def test_bug(elbv2: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The text of an unexpected error is in the log and not in the response."""
    with caplog.at_level(logging.ERROR):
        code, message = refusal(elbv2.delete_load_balancer, LoadBalancerArn="bug")
    assert code == "InternalFailure"
    assert "secret" not in message
    assert "a secret" in caplog.text


def test_wrong_result(elbv2: Any) -> None:
    """A result that the model does not have is an internal failure."""
    assert refusal(elbv2.describe_ssl_policies)[0] == "InternalFailure"


@pytest.mark.parametrize(
    ("service", "call", "parameters", "code", "message"),
    [
        (
            "elbv2",
            "describe_rules",
            {},
            "InvalidAction",
            "The action DescribeRules is not valid for this web service. Penstock does not offer it.",
        ),
        (
            "elbv2",
            "create_trust_store",
            {"Name": "a", "CaCertificatesBundleS3Bucket": "b", "CaCertificatesBundleS3Key": "c"},
            "InvalidAction",
            "The action CreateTrustStore is not valid for this web service. There is no S3 here.",
        ),
        (
            "acm",
            "list_certificates",
            {},
            "UnknownOperationException",
            "The action ListCertificates is not valid for this web service. Penstock does not offer it.",
        ),
        (
            "ec2",
            "describe_subnets",
            {},
            "InvalidAction",
            "The action DescribeSubnets is not valid for this web service. Penstock does not offer it.",
        ),
        (
            "s3",
            "list_buckets",
            {},
            "InvalidAction",
            "This endpoint does not offer the service s3. It offers acm, ec2, elasticloadbalancing, sts.",
        ),
        (
            "elb",
            "describe_load_balancers",
            {},
            "NoSuchVersion",
            "The requested version (2012-06-01) of service elasticloadbalancing does not exist. There is 2015-12-01.",
        ),
    ],
)
def test_not_offered(
    server: AwsServer, service: str, call: str, parameters: dict[str, Any], code: str, message: str
) -> None:
    """What is not offered is refused with AWS's code and the reason."""
    assert refusal(getattr(server.client(service), call), **parameters) == (code, message)


@pytest.mark.parametrize(
    ("service", "call", "codes"),
    [
        ("elbv2", "describe_target_groups", ("InvalidClientTokenId", "SignatureDoesNotMatch")),
        ("ec2", "describe_vpcs", ("AuthFailure", "SignatureDoesNotMatch")),
        ("acm", "list_certificates", ("UnrecognizedClientException", "InvalidSignatureException")),
    ],
)
def test_wrong_keys(server: AwsServer, service: str, call: str, codes: tuple[str, str]) -> None:
    """An unknown key and a wrong secret are refused with the codes of each protocol."""
    unknown = AccessKey("AKIAUNKNOWN", server.key.secret, "aws", NOW)
    wrong = AccessKey(server.key.id, "wrong", "aws", NOW)
    found = tuple(refusal(getattr(server.client(service, key=key), call))[0] for key in (unknown, wrong))
    assert found == codes


def test_deleted_key(server: AwsServer) -> None:
    """A deleted key is refused from then on."""
    server.client("sts").get_caller_identity()
    server.keys.delete(server.key.id)
    assert refusal(server.client("sts").get_caller_identity)[0] == "InvalidClientTokenId"


def test_unsigned(server: AwsServer) -> None:
    """An unsigned request is refused."""
    import botocore
    import botocore.session
    from botocore.config import Config

    unsigned = Config(signature_version=botocore.UNSIGNED)
    client = botocore.session.Session().create_client(
        "elbv2", region_name=REGION, endpoint_url=server.url, config=unsigned
    )
    assert refusal(client.describe_target_groups) == (
        "MissingAuthenticationToken",
        "Request is missing Authentication Token",
    )
    assert CALLS == []


@pytest.mark.parametrize("shift", [timedelta(minutes=-6), timedelta(minutes=6)])
def test_skew(tmp_path: Path, shift: timedelta) -> None:
    """A request whose time is more than five minutes away is refused, and the message has both times."""
    with aws_server(tmp_path / "aws", SERVICES, lambda: datetime.now(UTC) + shift) as running:
        code, message = refusal(running.client("elbv2").describe_target_groups)
    assert code == "SignatureDoesNotMatch"
    assert message.startswith("Signature expired" if shift > timedelta(0) else "Signature not yet current")


@pytest.mark.parametrize("shift", [timedelta(minutes=-4), timedelta(minutes=4)])
def test_tolerated_skew(tmp_path: Path, shift: timedelta) -> None:
    """A request whose time is less than five minutes away is accepted."""
    with aws_server(tmp_path / "aws", SERVICES, lambda: datetime.now(UTC) + shift) as running:
        running.client("elbv2").describe_target_groups()


class RawClient:
    """Sends requests that botocore's clients would not send. Each is signed."""

    def __init__(self, server: AwsServer) -> None:
        self._server = server
        self._host = server.url.removeprefix("http://")

    def send(
        self,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        scope: str = "elasticloadbalancing",
        method: str = "POST",
        path: str = "/",
        sent: bytes | None = None,
        added: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        """Sign a request and send it. `sent` and `added` replace the body and add headers after that."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if body and headers is None else (headers or {})
        request = AWSRequest(method, f"{self._server.url}{path}", {"Host": self._host, **kind}, body)
        credentials = Credentials(self._server.key.id, self._server.key.secret)
        SigV4Auth(credentials, scope, REGION).add_auth(request)
        connection = http.client.HTTPConnection(self._host, timeout=DEADLINE)
        try:
            connection.request(
                method, path, sent if sent is not None else body, {**dict(request.headers.items()), **(added or {})}
            )
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


def _form(**fields: str) -> bytes:
    return urlencode({"Version": "2015-12-01", **fields}).encode()


DELETE = _form(Action="DeleteTargetGroup", TargetGroupArn="a")


@pytest.mark.parametrize("host", ["[", "a/b", ""])
def test_strange_host(server: AwsServer, host: str) -> None:
    """A request with a strange header Host is refused by its signature, and not a failure."""
    headers = {"Host": host, "X-Amz-Date": "20260501T000000Z"}
    names = "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64
    scope = f"Credential={server.key.id}/20260501/{REGION}/elasticloadbalancing/aws4_request"
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=DEADLINE)
    signed = {**headers, "Authorization": f"AWS4-HMAC-SHA256 {scope}, {names}"}
    connection.request("GET", f"/?{DELETE.decode()}", headers=signed)
    assert "SignatureDoesNotMatch" in connection.getresponse().read().decode()
    connection.close()


@pytest.fixture
def raw(server: AwsServer) -> RawClient:
    """A client of raw requests."""
    return RawClient(server)


def test_get(raw: RawClient) -> None:
    """An action may be in the query of a GET request."""
    status, text = raw.send(b"", method="GET", path=f"/?{DELETE.decode()}")
    assert (status, "DeleteTargetGroupResponse" in text) == (200, True)
    assert CALLS[0].parameters == {"TargetGroupArn": "a"}


def test_other_body(raw: RawClient) -> None:
    """A request with another body than the signed one is refused, also if the header has the hash of the signed one."""
    other = DELETE.replace(b"Arn=a", b"Arn=b")
    assert "SignatureDoesNotMatch" in raw.send(DELETE, sent=other)[1]
    hashed = {"Content-Type": "application/x-www-form-urlencoded", "X-Amz-Content-SHA256": "0" * 64}
    assert "SignatureDoesNotMatch" in raw.send(DELETE, hashed)[1]
    assert CALLS == []


def test_unsigned_header(raw: RawClient) -> None:
    """A header that chooses the operation must be signed."""
    status, text = raw.send(b"{}", {}, scope="acm", added={"X-Amz-Target": "CertificateManager.GetCertificate"})
    assert (status, "InvalidSignatureException" in text) == (403, True)


def test_session_token(raw: RawClient) -> None:
    """A temporary key is refused, since there are none."""
    token = {"Content-Type": "application/x-www-form-urlencoded", "X-Amz-Security-Token": "t"}
    assert "InvalidClientTokenId" in raw.send(DELETE, token)[1]


@pytest.mark.parametrize(
    "header", ["Basic YTpi", "AWS4-HMAC-SHA256 Credential=a", "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request"]
)
def test_malformed_authorization(raw: RawClient, header: str) -> None:
    """A header of another form is refused with the form to use."""
    status, text = raw.send(DELETE, added={"Authorization": header})
    assert (status, "IncompleteSignature" in text) == (403, True)


def test_presigned(server: AwsServer) -> None:
    """A presigned request is refused with the reason."""
    request = AWSRequest("GET", f"{server.url}/?{DELETE.decode()}")
    credentials = Credentials(server.key.id, server.key.secret)
    SigV4QueryAuth(credentials, "elasticloadbalancing", REGION).add_auth(request)
    host = server.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=DEADLINE)
    connection.request("GET", request.url.removeprefix(server.url))
    assert "presigned requests are not supported" in connection.getresponse().read().decode()
    connection.close()


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (_form(), "MissingAction", "must contain the parameter Action"),
        (_form(Action="Nothing"), "InvalidAction", "The action Nothing is not valid"),
        (b"Action=DeleteTargetGroup", "NoSuchVersion", "There is 2015-12-01."),
        (b"Action=%ff&Version=2015-12-01", "MalformedQueryString", "syntax error"),
        (b"Action=a&Action=b&Version=2015-12-01", "MalformedQueryString", "The parameter Action is given twice"),
        (b"Action", "MalformedQueryString", "syntax error"),
        ("Action=é".encode(), "MalformedQueryString", "syntax error"),
        (_form(Action="DeleteTargetGroup"), "ValidationError", "Value null at &#x27;targetGroupArn"),
        (_form(Action="DeleteTargetGroup", Arn="a"), "UnknownParameter", "The parameter Arn is not recognized"),
        (
            _form(Action="DescribeTargetGroups", PageSize="many"),
            "ValidationError",
            "Member must be a valid integer",
        ),
        (_form(Action="DescribeTargetGroups", **{"Names.member.x": "a"}), "UnknownParameter", "Names.member.x"),
        (_form(Action="DescribeTargetGroups", **{"Names.1": "a"}), "UnknownParameter", "Names.1"),
        (_form(Action="DescribeTargetGroups", **{"Names..1": "a"}), "UnknownParameter", "Names..1"),
        (_form(Action="DescribeTargetGroups", Names="a"), "UnknownParameter", "Names"),
        (_form(Action="DescribeTargetGroups", **{"PageSize.a": "1"}), "UnknownParameter", "PageSize.a"),
        (b"<xml/>", "MalformedQueryString", "syntax error"),
    ],
)
def test_bad_forms(raw: RawClient, body: bytes, code: str, words: str) -> None:
    """A malformed form is refused with a code and the place of the mistake."""
    status, text = raw.send(body)
    assert status == 400
    assert f"<Code>{code}</Code>" in text
    assert words.replace("&#x27;", "'") in text


def test_body_of_another_kind(raw: RawClient) -> None:
    """A body that is neither a form nor JSON for a target is refused."""
    assert "must be a form" in raw.send(b"<xml/>", {"Content-Type": "text/xml"})[1]


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        ("CertificateManager.GetCertificate", b"{", "SerializationException"),
        ("CertificateManager.GetCertificate", b"[]", "SerializationException"),
        ("CertificateManager.GetCertificate", b"\xff", "SerializationException"),
        ("CertificateManager.GetCertificate", b'{"CertificateArn": 1}', "SerializationException"),
        ("CertificateManager.GetCertificate", b'{"CertificateArn": NaN}', "SerializationException"),
        ("CertificateManager.GetCertificate", b"[" * 100_000, "SerializationException"),
        ("CertificateManager.GetCertificate", b'{"CertificateArn": "\\ud800"}', "SerializationException"),
        ("CertificateManager.GetCertificate", b"", "ValidationException"),
        ("CertificateManager.GetCertificate", b'{"CertificateArn": null}', "ValidationException"),
        ("CertificateManager.GetCertificate", b'{"Arn": "a"}', "ValidationException"),
        ("CertificateManager.Nothing", b"{}", "UnknownOperationException"),
        ("Another.GetCertificate", b"{}", "UnknownOperationException"),
        ("", b"{}", "UnknownOperationException"),
    ],
)
def test_bad_json(raw: RawClient, target: str, body: bytes, code: str) -> None:
    """A malformed body of JSON is refused with a code."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
    status, text = raw.send(body, headers, scope="acm")
    assert (status, f'"__type": "{code}"' in text) == (400, True)


def test_too_large(raw: RawClient) -> None:
    """A body of more than a megabyte is refused."""
    assert raw.send(DELETE + b"a" * 1_000_000)[0] == 413
