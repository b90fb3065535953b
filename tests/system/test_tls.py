"""HTTPS listeners: certificates by name, policies, HTTP/2, and certificates of clients."""

from __future__ import annotations

import datetime
import http.client
import logging
import ssl
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import trustme
from cryptography import x509

from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.base.errors import ConfigError
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE
from tests.system.alb import Alb, Answer
from tests.system.pki import Pki, shake, shown

_DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(trustme.CA(organization_name="Shop"), tmp_path_factory.mktemp("pki"))


def https(*certificates: dict[str, str], **more: Any) -> dict[str, Any]:
    """Declare an HTTPS listener before the group `web`."""
    return {"protocol": "HTTPS", "certificates": certificates, "default_action": {"forward": "web"}, **more}


def ask(port: int, context: ssl.SSLContext, *headers: tuple[str, str]) -> Answer:
    """Send a request to `shop.test`. Raises `OSError` if the certificates do not fit."""
    connection = http.client.HTTPSConnection("shop.test", port, timeout=DEADLINE)
    connection.sock = shake(port, context)
    with closing(connection):
        connection.putrequest("GET", "/")
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())


def test_a_certificate_for_the_name_that_is_asked_for(alb: Alb, pki: Pki) -> None:
    """An exact name wins over a wildcard, and the default is the first one."""
    alb.declare(
        https(
            pki.issue("default", "first.test"),
            pki.issue("wild", "*.shop.test"),
            pki.issue("exact", "api.shop.test", "shop.test"),
            pki.issue("rsa", "rsa.test", key=trustme.KeyType.RSA),
        )
    )
    for name, names in {
        "first.test": {"first.test"},
        "api.shop.test": {"api.shop.test", "shop.test"},
        "API.Shop.Test": {"api.shop.test", "shop.test"},
        "shop.test": {"api.shop.test", "shop.test"},
        "www.shop.test": {"*.shop.test"},
        "a.b.shop.test": {"first.test"},
        "rsa.test": {"rsa.test"},
        "else.where": {"first.test"},
        None: {"first.test"},
    }.items():
        assert shown(alb.port, name) == names, name


def test_a_changed_certificate_is_served_without_a_reload(alb: Alb, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """A changed certificate is loaded, and an invalid one is ignored."""
    files = pki.issue("renewed", "old.test")
    alb.declare(https(files, pki.issue("other", "other.test")))
    worker = alb.worker()
    assert shown(alb.port, None) == {"old.test"}
    pki.issue("renewed", "new.test")
    alb.balancer.ensure_running()
    assert shown(alb.port, None) == shown(alb.port, "new.test") == {"new.test"}
    assert shown(alb.port, "other.test") == {"other.test"}
    good = Path(files["certificate"]).read_text()
    foreign = pki.authority.issue_cert("foreign.test").cert_chain_pems[0].bytes().decode()
    for bad in ("", "nonsense", good[:400], foreign):
        caplog.clear()
        Path(files["certificate"]).write_text(bad)
        with caplog.at_level(logging.WARNING):
            assert alb.balancer.ensure_running() is False
        assert "keeping the previous certificate" in caplog.text
        assert files["certificate"] in caplog.text
        assert shown(alb.port, None) == {"new.test"}
    Path(files["certificate"]).unlink()
    alb.balancer.ensure_running()
    assert shown(alb.port, None) == {"new.test"}
    assert alb.worker() == worker


class _Killed(BaseException):
    """The process is killed."""


def test_a_large_certificate_is_loaded_after_a_kill_before_the_reload(
    alb: Alb, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is written, and the process is killed before HAProxy loads it. The next call reloads."""
    files = pki.issue("large", "before.test")
    alb.declare(https(files), groups={"web": {}})
    assert shown(alb.port, None) == {"before.test"}
    leaf = pki.authority.issue_cert("after.test")
    padding = pki.authority.cert_pem.bytes() * (20_000 // len(pki.authority.cert_pem.bytes()))
    Path(files["certificate"]).write_bytes(leaf.cert_chain_pems[0].bytes() + padding)
    leaf.private_key_pem.write_to_path(files["private_key"])

    def killed(_: Runtime) -> None:
        raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(Runtime, "reload", killed)
        with pytest.raises(_Killed):
            alb.balancer.ensure_running()
    assert shown(alb.port, None) == {"before.test"}
    worker = alb.worker()
    alb.balancer.ensure_running()
    assert shown(alb.port, None) == {"after.test"}
    assert alb.worker() != worker
    worker = alb.worker()
    alb.balancer.ensure_running()
    assert alb.worker() == worker


def test_a_killed_check_leaves_no_private_key(alb: Alb, pki: Pki) -> None:
    """The draft of a configuration is removed by the next check, and by the next round of the daemon."""
    alb.declare(https(pki.issue("shop", "shop.test")), groups={"web": {}})
    directory = alb.balancer.directory
    for act in (
        lambda: alb.declare(https(pki.issue("other", "other.test")), groups={"web": {}}),
        alb.balancer.ensure_running,
    ):
        draft = directory / "draft.killed"
        draft.mkdir()
        (draft / "certificate.1.pem").write_text("a private key")
        act()
        assert [path.name for path in directory.iterdir() if path.name.startswith("draft.")] == []


def test_a_reload_with_a_certificate_that_has_been_spoilt(alb: Alb, pki: Pki) -> None:
    """A reload uses the copy of a certificate that became invalid."""
    files = pki.issue("spoilt", "good.test")
    alb.declare(https(files))
    Path(files["certificate"]).write_text("nonsense")
    alb.declare(https(files), {"port": free_port(), "default_action": {"forward": "web"}})
    assert shown(alb.port, None) == {"good.test"}


def _spoil(pki: Pki, what: str) -> tuple[dict[str, Any], str]:
    """Return an invalid listener and the file at fault."""
    files, other = pki.issue(f"own-{what}", "own.test"), pki.issue(f"other-{what}", "other.test")
    nowhere, nonsense = str(pki.directory / "nowhere.pem"), pki.directory / f"{what}.nonsense"
    nonsense.write_text("nonsense")
    match what:
        case "no certificate":
            return https({**files, "certificate": nowhere}), nowhere
        case "no key":
            return https({**files, "private_key": nowhere}), nowhere
        case "another's key":
            return https({**files, "private_key": other["private_key"]}), other["private_key"]
        case "key left out":
            return https({"certificate": files["certificate"]}), files["certificate"]
        case "nonsense for a certificate":
            return https({**files, "certificate": str(nonsense)}), str(nonsense)
        case "nonsense for a key":
            return https({**files, "private_key": str(nonsense)}), str(nonsense)
        case "no trust store":
            return https(files, mutual_authentication={"mode": "verify", "trust_store": nowhere}), nowhere
        case "nonsense for a trust store":
            return https(files, mutual_authentication={"mode": "verify", "trust_store": str(nonsense)}), str(nonsense)
    raise AssertionError(what)


@pytest.mark.parametrize("running", [False, True], ids=["first", "later"])
def test_what_cannot_be_is_refused_before_anything_changes(alb: Alb, pki: Pki, running: bool) -> None:
    """An unusable file is refused by its path, and nothing changes."""
    if running:
        alb.declare({"default_action": {"forward": "web"}})
        alb.serve("a")
    before = alb.balancer.registry()
    for what in (
        "no certificate",
        "no key",
        "another's key",
        "key left out",
        "nonsense for a certificate",
        "nonsense for a key",
        "no trust store",
        "nonsense for a trust store",
    ):
        listener, path = _spoil(pki, what)
        with pytest.raises(ConfigError) as refused:
            alb.declare(listener)
        assert path in refused.value.message, what
        assert alb.balancer.registry() == before
    if running:
        assert alb.ask().status == 200


V10, V11, V12, V13 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
# The policies of the year 2021 by their version, and others by name.
POLICIES = (
    "1-3",
    "1-2-Res",
    "1-2",
    "1-2-Ext1",
    "1-2-Ext2",
    "1-1",
    "1-0",
    "2016-08",
    "TLS-1-2-2017-01",
    "FS-1-1-2019-08",
)
WITHOUT_13 = {"2016-08", "TLS-1-2-2017-01", "FS-1-1-2019-08"}
SHA1, STATIC_SHA1 = {"1-2-Ext2", "1-1", "1-0", "2016-08", "FS-1-1-2019-08"}, {"1-2-Ext2", "1-1", "1-0", "2016-08"}
STATIC = {*STATIC_SHA1, "1-2-Ext1", "TLS-1-2-2017-01"}
# A version, the suite of it that is offered, and which policies take it.
OFFERS: list[tuple[ssl.TLSVersion, str, set[str]]] = [
    (V10, "ECDHE-RSA-AES128-SHA", {"1-0", "2016-08"}),
    (V11, "ECDHE-RSA-AES128-SHA", {"1-1", "1-0", "2016-08", "FS-1-1-2019-08"}),
    (V10, "AES256-SHA", {"1-0", "2016-08"}),
    (V12, "ECDHE-RSA-AES128-GCM-SHA256", {*POLICIES} - {"1-3"}),
    (V12, "ECDHE-RSA-AES256-GCM-SHA384", {*POLICIES} - {"1-3"}),
    (V12, "ECDHE-RSA-AES128-SHA256", {*POLICIES} - {"1-3", "1-2-Res"}),
    (V12, "ECDHE-RSA-AES256-SHA384", {*POLICIES} - {"1-3", "1-2-Res"}),
    (V12, "ECDHE-RSA-AES128-SHA", SHA1),
    (V12, "AES128-SHA", STATIC_SHA1),
    (V12, "AES128-GCM-SHA256", STATIC),
    (V12, "AES256-SHA256", STATIC),
    (V12, "ECDHE-RSA-CHACHA20-POLY1305", set()),
    (V12, "DHE-RSA-AES128-GCM-SHA256", set()),
    (V13, "", {*POLICIES} - WITHOUT_13),
]


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[dict[str, int]]:
    """The port of a listener with each policy, and of one without: `default`."""
    alb = Alb(tmp_path_factory.mktemp("policies") / "balancer")
    ports = {name: free_port() for name in (*POLICIES, "default")}
    certificate = pki.issue("policies", "shop.test", key=trustme.KeyType.RSA)
    names = {name: f"TLS13-{name}-2021-06" if name.startswith("1") else name for name in POLICIES}
    policy = {name: {"ssl_policy": f"ELBSecurityPolicy-{full}"} for name, full in names.items()}
    try:
        alb.declare(*(https(certificate, port=port, **policy.get(name, {})) for name, port in ports.items()))
        yield ports
    finally:
        alb.end()


@pytest.mark.parametrize("policy", [*POLICIES, "default"])
def test_policies(policies: dict[str, int], pki: Pki, policy: str) -> None:
    """Each policy accepts the versions and suites of ELB's table only."""
    for version, suite, takers in OFFERS:
        context = pki.client()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        context.set_ciphers(f"{suite or 'ALL'}:@SECLEVEL=0")
        try:
            with shake(policies[policy], context) as connection:
                taken = (connection.version(), suite or (connection.cipher() or ("",))[0])
        except (ssl.SSLError, ConnectionResetError):
            taken = None
        assert (taken is not None) == ((policy if policy != "default" else "1-2") in takers), (version, suite, taken)


@pytest.mark.parametrize(("http2", "agreed"), [(True, "h2"), (False, "http/1.1")])
def test_http2_is_agreed_on(alb: Alb, pki: Pki, http2: bool, agreed: str) -> None:
    """A client that offers both gets HTTP/2, unless the attribute disables it."""
    alb.declare(https(pki.issue("alpn", "shop.test")), attributes={"routing.http2.enabled": http2})
    for offered, wanted in ((["h2", "http/1.1"], agreed), (["http/1.1"], "http/1.1")):
        context = pki.client()
        context.set_alpn_protocols(offered)
        with shake(alb.port, context) as connection:
            assert connection.selected_alpn_protocol() == wanted


def test_targets_are_told_of_tls(alb: Alb, pki: Pki) -> None:
    """Targets get version and suite in the declared headers, which a client cannot forge."""
    alb.declare(
        https(
            pki.issue("told", "shop.test"),
            attributes={"routing.http.request.x_amzn_tls_version.header_name": "X-Tls"},
        ),
        attributes={"routing.http.x_amzn_tls_version_and_cipher_suite.enabled": True},
    )
    alb.serve("a")
    answer = ask(alb.port, pki.client(), ("X-Tls", "SSLv2"), ("X-Amzn-Tls-Cipher-Suite", "NULL"))
    assert answer.seen_all("x-tls") == ["TLSv1.3"]
    assert answer.seen_all("x-amzn-tls-cipher-suite") == ["TLS_AES_128_GCM_SHA256"]
    assert answer.seen_all("x-forwarded-proto") == ["https"]


HEADERS = ("Serial-Number", "Issuer", "Subject", "Validity", "Leaf")
SPOOFED = tuple(("X-Amzn-Mtls-Clientcert" + (f"-{name}" if name else ""), "me") for name in ("", *HEADERS))


def mutual(alb: Alb, pki: Pki, **settings: Any) -> None:
    """A listener with mutual authentication, before a server."""
    attributes = settings.pop("attributes", {})
    alb.declare(https(pki.issue("mutual", "shop.test"), mutual_authentication=settings, attributes=attributes))
    alb.serve("a")


def client_headers(answer: Answer, prefix: str = "x-amzn-mtls-clientcert") -> dict[str, str]:
    """Return the headers about the client's certificate that a target got."""
    return {name: value for name, value in answer.seen["headers"] if name.startswith(prefix)}


def expired(pki: Pki) -> trustme.LeafCert:
    now = datetime.datetime.now(datetime.UTC)
    return pki.authority.issue_cert("late.test", not_before=now - 3 * _DAY, not_after=now - _DAY)


def test_verify_lets_in_whom_the_trust_store_knows(alb: Alb, pki: Pki) -> None:
    """A missing, foreign or expired certificate is refused."""
    mutual(alb, pki, mode="verify", trust_store=pki.trust_store())
    assert ask(alb.port, pki.client(pki.authority.issue_cert("client.test"))).status == 200
    for leaf in (None, trustme.CA().issue_cert("client.test"), expired(pki)):
        # With TLS 1.3, a client finishes its handshake before it is refused.
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(alb.port, pki.client(leaf))


def test_expiry_may_be_ignored(alb: Alb, pki: Pki) -> None:
    """Only the expiry is ignored with ignore_expiry."""
    mutual(alb, pki, mode="verify", trust_store=pki.trust_store(), ignore_expiry=True)
    assert ask(alb.port, pki.client(expired(pki))).status == 200
    for leaf in (None, trustme.CA().issue_cert("client.test")):
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(alb.port, pki.client(leaf))


def test_verify_tells_targets_who_it_is(alb: Alb, pki: Pki) -> None:
    """Targets get the certificate's fields, and a client's headers are dropped."""
    mutual(alb, pki, mode="verify", trust_store=pki.trust_store())
    # From 2050 on, certificates write dates otherwise.
    late = datetime.datetime(2060, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    leaf = pki.authority.issue_cert(
        "client.test", common_name="Jo, the client", organization_name="Acme", not_after=late
    )
    certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    seen = client_headers(ask(alb.port, pki.client(leaf), *SPOOFED))
    assert set(seen) == {f"x-amzn-mtls-clientcert-{name.lower()}" for name in HEADERS}
    told = {name: seen[f"x-amzn-mtls-clientcert-{name.lower()}"] for name in HEADERS}
    assert int(told["Serial-Number"], 16) == certificate.serial_number
    assert x509.Name.from_rfc4514_string(told["Issuer"]) == certificate.issuer
    assert x509.Name.from_rfc4514_string(told["Subject"]) == certificate.subject
    begin, end = (
        f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    )
    assert told["Validity"] == f"NotBefore={begin};NotAfter={end}"
    assert "\n" not in told["Leaf"]
    assert " " not in told["Leaf"]
    assert unquote(told["Leaf"]) == leaf.cert_chain_pems[0].bytes().decode()


def test_passthrough_leaves_it_to_targets(alb: Alb, pki: Pki) -> None:
    """Any certificate or none is accepted, targets get it, and forged headers are dropped."""
    mutual(alb, pki, mode="passthrough")
    stranger = trustme.CA().issue_cert("stranger.test")
    for leaf in (stranger, expired(pki)):
        seen = client_headers(ask(alb.port, pki.client(leaf), *SPOOFED))
        assert {name: unquote(value) for name, value in seen.items()} == {
            "x-amzn-mtls-clientcert": leaf.cert_chain_pems[0].bytes().decode()
        }
    assert client_headers(ask(alb.port, pki.client(), *SPOOFED)) == {}


@pytest.mark.parametrize("mode", ["verify", "passthrough"])
def test_headers_have_the_names_that_the_listener_gives(alb: Alb, pki: Pki, mode: str) -> None:
    """Renamed headers cannot be forged either."""
    keys = ["", *(f"_{name.lower().replace('-', '_')}" for name in HEADERS)]
    renamed = {f"routing.http.request.x_amzn_mtls_clientcert{key}.header_name": f"X-Client{key}" for key in keys}
    settings = {"mode": mode, **({"trust_store": pki.trust_store()} if mode == "verify" else {})}
    mutual(alb, pki, **settings, attributes=renamed)
    spoofed = [(f"X-Client{key}", "me") for key in keys]
    seen = client_headers(ask(alb.port, pki.client(pki.authority.issue_cert("client.test")), *spoofed), "x-client")
    assert set(seen) == ({f"x-client{key}" for key in keys[1:]} if mode == "verify" else {"x-client"})
    assert "me" not in seen.values()


def kept_alive(connection: http.client.HTTPConnection, *headers: tuple[str, str]) -> Answer:
    """Return a request on a connection that stays open."""
    connection.request("GET", "/", headers=dict(headers))
    answer = connection.getresponse()
    return Answer(answer.status, answer.getheaders(), answer.read())


@pytest.mark.parametrize("before", ["other names", "no certificates", "HTTP"])
def test_new_names_hold_for_connections_of_before(alb: Alb, pki: Pki, before: str) -> None:
    """Renamed headers cannot be forged on connections from before a reload."""
    key, version = (f"routing.http.request.x_amzn_{name}.header_name" for name in ("mtls_clientcert", "tls_version"))
    settings, certificate = {"mode": "passthrough"}, pki.issue("renamed", "shop.test")
    tells = {"routing.http.x_amzn_tls_version_and_cipher_suite.enabled": True}
    former = {
        "other names": https(certificate, mutual_authentication=settings, attributes={key: "X-Former", version: "X-V"}),
        "no certificates": https(certificate),
        "HTTP": {"default_action": {"forward": "web"}},
    }[before]
    alb.declare(former)
    alb.serve("a")
    connection = http.client.HTTPConnection("127.0.0.1", alb.port, timeout=DEADLINE)
    if before != "HTTP":
        connection.sock = shake(alb.port, pki.client())
    spoofed = [(name, "me") for name in ("X-Client", "X-Tls", "X-Amzn-Mtls-Clientcert")]
    with closing(connection):
        assert kept_alive(connection).status == 200
        alb.declare(
            https(certificate, mutual_authentication=settings, attributes={key: "X-Client", version: "X-Tls"}),
            attributes=tells,
        )
        seen = dict(kept_alive(connection, *spoofed).seen["headers"])
    assert {name.lower() for name, _ in spoofed} & set(seen) == set()


def test_what_a_predecessor_tells_is_kept(alb: Alb, pki: Pki) -> None:
    """After a reload with the same names, targets still get the client's headers."""
    mutual(alb, pki, mode="passthrough")
    leaf = trustme.CA().issue_cert("client.test")
    connection = http.client.HTTPSConnection("shop.test", alb.port, timeout=DEADLINE)
    connection.sock = shake(alb.port, pki.client(leaf))
    with closing(connection):
        before = client_headers(kept_alive(connection, *SPOOFED))
        worker = alb.worker()
        alb.declare({"port": free_port(), "default_action": {"forward": "web"}}, owner="other")
        assert alb.worker() != worker
        assert client_headers(kept_alive(connection, *SPOOFED)) == before
    assert set(before) == {"x-amzn-mtls-clientcert"}


def test_a_trust_store_is_renewed_without_a_reload(alb: Alb, pki: Pki) -> None:
    """A changed trust store applies after the next maintenance."""
    store, other = Path(pki.trust_store()), trustme.CA()
    mutual(alb, pki, mode="verify", trust_store=str(store))
    worker, leaf = alb.worker(), other.issue_cert("client.test")
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(alb.port, pki.client(leaf))
    other.cert_pem.write_to_path(store)
    alb.balancer.ensure_running()
    assert ask(alb.port, pki.client(leaf)).status == 200
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(alb.port, pki.client(pki.authority.issue_cert("client.test")))
    assert alb.worker() == worker
