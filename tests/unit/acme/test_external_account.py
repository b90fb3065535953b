"""External accounts: the file with the keys, and an authority that issues to its customers only."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.acme.authority import AuthorityError
from pipeline.acme.client import AcmeAuthority
from pipeline.acme.external_account import ExternalAccount, read_external_account
from pipeline.balancer.model.acme import AcmeCertificate
from tests.support.pebble import pebble

KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


def write(directory: Path, content: str, mode: int = 0o600) -> Path:
    """Write the file of the account `ours`."""
    path = directory / "acme" / "external" / "ours.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    path.chmod(mode)
    return path


def test_the_file(tmp_path: Path) -> None:
    """It has the id and the key."""
    write(tmp_path, f'{{"key_id": "kid-1", "hmac_key": "{KEY}"}}')
    assert read_external_account(tmp_path, "ours") == ExternalAccount(key_id="kid-1", hmac_key=KEY)


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("{}", 0o600, 'ours.json must be {"key_id": "…", "hmac_key": "…"}: key_id: missing'),
        ('{"key_id": "a", "hmac_key": "s3cret!"}', 0o600, "hmac_key: string_pattern_mismatch"),
        ('{"key_id": "a", "hmac_key": "abc", "url": "x"}', 0o600, "url: extra_forbidden"),
        ("key_id=a", 0o600, 'must be {"key_id": "…", "hmac_key": "…"}: json_invalid'),
        ("{}", 0o640, "must have mode 0600, got 0640"),
    ],
)
def test_a_bad_file(tmp_path: Path, content: str, mode: int, message: str) -> None:
    """The error names the file and what to write, but not the key."""
    path = write(tmp_path, content, mode)
    with pytest.raises(AuthorityError) as raised:
        read_external_account(tmp_path, "ours")
    assert message in raised.value.message
    assert str(path) in raised.value.message
    assert "s3cret" not in raised.value.message


def test_a_missing_file(tmp_path: Path) -> None:
    """The error says where it should be, and what it should hold."""
    with pytest.raises(AuthorityError, match=r"external/ours\.json: No such file or directory; write \{"):
        read_external_account(tmp_path, "ours")


def test_an_authority_for_customers_only(tmp_path: Path) -> None:
    """It refuses an account that is not bound, or bound by a wrong key, and accepts a customer's again and again."""
    with pebble(tmp_path, customers={"kid-1": KEY}) as running:

        def authority(name: str | None) -> AcmeAuthority:
            return AcmeAuthority(AcmeCertificate(**running.declared("a.test", external_account=name)), tmp_path)

        with pytest.raises(AuthorityError, match="needs an external account"):
            authority(None).new_order(["a.test"])
        path = write(tmp_path, '{"key_id": "kid-1", "hmac_key": "d3Jvbmc"}')
        with pytest.raises(AuthorityError):
            authority("ours").new_order(["a.test"])
        path.write_text(f'{{"key_id": "kid-1", "hmac_key": "{KEY}"}}')
        assert authority("ours").new_order(["a.test"]).status == "pending"
        assert authority("ours").new_order(["b.test"]).status == "pending"
