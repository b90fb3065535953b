"""Verification and parsing of webhooks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.triggers.webhook import (
    LIMIT,
    Delivery,
    DeliveryHeaders,
    IgnoredDelivery,
    WebhookRejected,
    parse_delivery,
    parse_headers,
)
from tests.support.webhooks.deliveries import (
    MARK,
    NONE,
    SECRET,
    SHA,
    SIGNING_TOKEN,
    Sent,
    payload,
    sent,
    sent_signed,
)

_NOW = 1_795_000_000.0


def read(request: Sent, secret: str = SECRET, now: float = _NOW) -> Delivery | IgnoredDelivery:
    """Parse a delivery of a forge."""
    forge: Any = request.path.rsplit("/", 1)[1]
    return parse_delivery(forge, request.headers, request.body, secret, now)


def refusal(request: Sent, secret: str = SECRET, now: float = _NOW) -> WebhookRejected:
    """Return the rejection of a request."""
    with pytest.raises(WebhookRejected) as caught:
        read(request, secret, now)
    return caught.value


def test_the_signature_is_that_of_githubs_documentation() -> None:
    """The example of GitHub's documentation is verified."""
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = (
        ("Content-Type", "application/json"),
        ("X-GitHub-Event", "push"),
        ("X-Hub-Signature-256", f"sha256={digest}"),
    )
    head = parse_headers("github", headers, "It's a Secret to Everybody", _NOW)
    assert head.verify(b"Hello, World!")
    assert not head.verify(b"Hello, World?")


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the Standard Webhooks specification is verified."""
    headers = (
        ("Content-Type", "application/json"),
        ("X-Gitlab-Event", "Push Hook"),
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    )
    head = parse_headers("gitlab", headers, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1614265330.0)
    assert head.verify(b'{"test": 2432232314}')
    assert not head.verify(b'{"test": 2432232315}')


@given(body=st.binary(max_size=200))
def test_no_other_body_is_covered(body: bytes) -> None:
    """A signature matches the body that was signed, and no other."""
    request = sent("github")
    head = parse_headers("github", request.headers, SECRET, _NOW)
    assert head.verify(request.body)
    assert head.verify(body) == (body == request.body)


@pytest.mark.parametrize("forge", ["github", "gitea"])
def test_nothing_is_parsed_before_it_is_proved(forge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body with an invalid signature is never parsed."""
    request = sent(forge, b'{"ref": "refs/heads/main"}')
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("parsed"))
    assert refusal(Sent(request.path, request.headers, request.body + b" ")).status == 401


def test_an_empty_secret_is_none() -> None:
    """With an empty secret, every delivery is rejected, since any sender could sign with it."""
    assert refusal(sent("github"), secret="").status == 404
    assert refusal(sent_signed(at=_NOW), secret="whsec_").status == 404
    assert refusal(sent_signed(at=_NOW), secret="whsec_AAAA").status == 404


@pytest.mark.parametrize(("off", "is_taken"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_a_signed_time_is_of_now(off: int, is_taken: bool) -> None:
    """GitLab's signed time may differ from the local clock by five minutes at most."""
    request = sent_signed(at=_NOW + off)
    if is_taken:
        assert isinstance(read(request, SIGNING_TOKEN), Delivery)
    else:
        assert refusal(request, SIGNING_TOKEN).status == 401


def test_a_token_does_not_do_where_a_signature_is_agreed_on() -> None:
    """With a signing token configured, the same text sent as a plain token is rejected."""
    request = sent("gitlab").having(x_gitlab_token=SIGNING_TOKEN)
    assert refusal(request, SIGNING_TOKEN).status == 401


def test_a_secret_beyond_ascii_is_a_secret() -> None:
    """A token with bytes outside of ASCII is compared byte by byte."""
    token = "geheim-ö-🔑"
    request = sent("gitlab").having(x_gitlab_token=token.encode().decode("latin-1"))
    assert isinstance(read(request, token), Delivery)
    assert refusal(request, "geheim-o-🔑").status == 401


def test_a_body_past_the_limit_is_refused() -> None:
    """A body above the limit is rejected, even if the caller read it without a limit."""
    request = sent("github", payload("github"))
    assert refusal(Sent(request.path, request.headers, bytes(LIMIT + 1))).status == 413


@pytest.mark.parametrize("forge", ["github", "gitea", "gitlab"])
def test_a_digest_is_of_one_delivery(forge: Any) -> None:
    """A retry of a delivery has the same digest, and another push a different one."""
    request, other = sent(forge), sent(forge, payload(forge, "refs/heads/other"))
    digests = [delivery.digest for delivery in map(read, (request, request, other)) if isinstance(delivery, Delivery)]
    assert digests[0] == digests[1] != digests[2]


def test_a_deletion_is_one_in_either_length() -> None:
    """An object name of zeros, in SHA-1 or SHA-256 length, is a deletion and is ignored."""
    for zeros in (NONE, "0" * 64):
        assert read(sent("gitea", payload("gitea", sha=zeros))) == IgnoredDelivery("refs/heads/main was deleted")


@given(
    ref=st.one_of(st.none(), st.integers(), st.text(), st.text().map(lambda name: f"refs/heads/{name}")),
    sha=st.one_of(st.none(), st.text(), st.just(SHA)),
)
def test_a_refusal_repeats_nothing_of_the_body(ref: object, sha: object) -> None:
    """A verified body is a delivery, ignored, or rejected with 400, and the reason contains nothing of it."""
    body = json.dumps({"ref": ref, "after": sha, "mark": MARK}).encode()
    outcome: Delivery | IgnoredDelivery | tuple[int, str]
    try:
        outcome = read(sent("github", body))
    except WebhookRejected as error:
        outcome = (error.status, error.reason)
    assert outcome in {
        (400, "ref must be the full name of a branch or a tag, such as refs/heads/main"),
        (400, "after must be a full commit id of 40 or 64 hexadecimal digits"),
    } or (isinstance(outcome, Delivery) and (outcome.ref, outcome.sha) == (ref, sha))


def test_a_head_without_signatures_covers_what_follows() -> None:
    """Headers without signatures verify any body, since they authenticate the sender."""
    assert DeliveryHeaders("Push Hook", "", is_form=False).verify(b"anything")
