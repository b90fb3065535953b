"""Keys of issuers at a URL: fetched with a deadline, and kept if they cannot be renewed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.balancer.download import download
from pipeline.balancer.jwks import read_keys, with_keys
from pipeline.balancer.key_set import KeySet, read_key_set
from pipeline.balancer.model import Declaration
from pipeline.balancer.registry import Registry
from pipeline.base.clock import Stamp
from pipeline.base.errors import ConfigError
from tests.support.issuer import Issuer, key_set
from tests.support.waiting import SOON


def trusting(*issuers: str) -> Registry:
    """Return a registry with a rule for each issuer."""
    rules = [
        {
            "priority": number,
            "conditions": [{"path_pattern": [f"/{number}"]}],
            "action": {
                "jwt_validation": {"jwks": issuer, "issuer": "me"},
                "fixed_response": {"status_code": 200},
            },
        }
        for number, issuer in enumerate(issuers, start=1)
    ]
    listener = {
        "port": 8443,
        "protocol": "HTTPS",
        "certificates": [{"certificate": "shop.pem"}],
        "rules": rules,
        "default_action": {"fixed_response": {"status_code": 404}},
    }
    declared = {"target_groups": {"web": {"port": 80}}, "load_balancers": {"edge": {"listeners": [listener]}}}
    return Registry().declare("shop", Declaration.model_validate(declared))


def known(registry: Registry, source: str, age: timedelta) -> Registry:
    """Return the registry with a key of this age."""
    keys = KeySet(read_at=datetime.now(UTC) - age, keys={"old": "pem"})
    return registry.model_copy(update={"key_sets": {source: keys}})


def test_fetched(issuer: Issuer) -> None:
    """Keys are fetched from a URL and from the target of its redirect."""
    assert set(read_key_set(issuer.url()).keys) == {"one"}
    issuer.redirects = {"/moved": "/on", "/on": issuer.url("/there")}
    assert set(read_key_set(issuer.url("/moved")).keys) == {"one"}


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("http://127.0.0.1:1/keys", "it redirects to http://127.0.0.1:1/keys, which is not https://"),
        ("file:///etc/hostname", "it redirects to file:///etc/hostname, which is not https://"),
        ("/keys", "it redirects more than 5 times"),
        ("https://[", "Invalid"),
    ],
)
def test_redirects_that_are_not_followed(issuer: Issuer, place: str, reason: str) -> None:
    """Redirects to plain HTTP, to files and in circles are refused."""
    issuer.redirects = {"/keys": place}
    with pytest.raises(ConfigError) as refused:
        read_key_set(issuer.url())
    assert str(refused.value).startswith(f"{issuer.url()} cannot be fetched: ")
    assert reason in str(refused.value)


def test_an_error_is_no_set_of_keys(issuer: Issuer) -> None:
    """An error status is refused with any body."""
    issuer.status = 500
    with pytest.raises(ConfigError, match="cannot be fetched: 500 Server Error"):
        read_key_set(issuer.url())


def test_too_large(issuer: Issuer) -> None:
    """An endless key set is refused after its limit."""
    issuer.content, issuer.trickles = b" " * 150 * 1024 + b"  ", True
    with pytest.raises(ConfigError, match="is larger than 150 KiB"):
        read_key_set(issuer.url())


def test_too_slow(issuer: Issuer) -> None:
    """The timeout holds for the whole download, although a byte comes now and then."""
    issuer.trickles = True
    before = time.monotonic()
    with pytest.raises(ConfigError, match=r"cannot be fetched within 0\.3 s"):
        download(issuer.url(), 1000, timeout=0.3)
    assert time.monotonic() - before < SOON


def test_without_any_keys_a_failure_is_raised(issuer: Issuer) -> None:
    """A failed first download is an error."""
    issuer.content = b"{}"
    with pytest.raises(ConfigError, match="is not a valid key set"):
        read_keys(trusting(issuer.url()))


def test_fresh_keys_are_not_fetched(issuer: Issuer) -> None:
    """Keys are not fetched again for an hour."""
    registry = known(trusting(issuer.url()), issuer.url(), timedelta(minutes=59))
    assert read_keys(registry) == registry.key_sets
    assert issuer.asked == 0
    registry = known(registry, issuer.url(), timedelta(minutes=61))
    assert set(read_keys(registry)[issuer.url()].keys) == {"one"}


def test_a_renewal_that_fails(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    """After a failed renewal the last keys stay, and the next attempt is a minute later."""
    source, issuer.status = issuer.url(), 503
    registry = known(trusting(source), source, timedelta(days=1))
    registry = with_keys(registry, read_keys(registry))
    assert registry.key_sets[source].keys == {"old": "pem"}
    assert "keeping the previous keys" in caplog.text
    issuer.status = 200
    assert read_keys(registry) == registry.key_sets
    assert issuer.asked == 1
    minute_ago = Stamp.from_wall(datetime.now(UTC) - timedelta(seconds=61))
    tried = registry.key_sets[source].model_copy(update={"tried_at": minute_ago})
    registry = registry.model_copy(update={"key_sets": {source: tried}})
    renewed = read_keys(registry)[source]
    assert (set(renewed.keys), renewed.tried_at) == ({"one"}, None)


def test_later_keys_win(issuer: Issuer) -> None:
    """Keys read before the lock do not replace keys that another process read later."""
    source = issuer.url()
    registry = known(trusting(source), source, timedelta(hours=2))
    ours = read_keys(registry)
    issuer.content = key_set("two")
    theirs = with_keys(registry, read_keys(registry))
    assert with_keys(theirs, ours) is theirs
    assert set(with_keys(registry, ours).key_sets[source].keys) == {"one"}


def test_keys_of_a_removed_issuer_are_removed(issuer: Issuer) -> None:
    """The keys of an issuer are removed with the last rule that trusts it."""
    registry = known(trusting(issuer.url()), issuer.url(), timedelta(0))
    assert with_keys(registry.withdraw("shop"), {}).key_sets == {}


def test_an_issuer_without_keys_is_read(issuer: Issuer) -> None:
    """An issuer without keys in either registry is read on merging."""
    assert set(with_keys(trusting(issuer.url()), {}).key_sets[issuer.url()].keys) == {"one"}
