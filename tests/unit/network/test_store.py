"""The networks of a home on disk."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.base.errors import StoreFault
from tests.support.full_disk import fill
from tests.unit.network.ec2 import Ec2


def test_another_process(ec2: Ec2) -> None:
    """What one process has made, another one finds."""
    vpc = ec2.vpc()
    subnet = ec2.subnet(vpc)
    other = Ec2(ec2.store.folder)
    assert other.call("DescribeSubnets", SubnetIds=[subnet["SubnetId"]])["Subnets"] == [subnet]
    assert (ec2.store.folder / "network.json").stat().st_mode & 0o777 == 0o600


def test_a_draft_of_a_killed_process(ec2: Ec2) -> None:
    """The next change removes it."""
    draft = ec2.store.folder / ".network.json.123"
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text("{")
    ec2.vpc()
    assert not draft.exists()


def test_reading_creates_no_file(ec2: Ec2) -> None:
    """A read, a refused change and a trial write nothing."""
    ec2.call("DescribeVpcs")
    ec2.refusal("CreateVpc", CidrBlock="x")
    ec2.refusal("CreateVpc", CidrBlock="10.0.0.0/16", DryRun=True)
    assert not (ec2.store.folder / "network.json").exists()


def test_many_clients(ec2: Ec2) -> None:
    """Clients that change at the same time lose nothing."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: ec2.vpc(f"10.{number}.0.0/16"), range(24)))
        addresses = list(pool.map(lambda _: ec2.call("AllocateAddress")["PublicIp"], range(24)))
    found = [each["VpcId"] for each in ec2.call("DescribeVpcs")["Vpcs"]]
    assert sorted(found[1:]) == sorted(made)
    assert len(set(addresses)) == 24


def test_defaults_are_not_stored(ec2: Ec2) -> None:
    """The file has no resource that follows from the zones, until a client changes it."""
    ec2.vpc()

    def stored() -> list[str]:
        data = json.loads((ec2.store.folder / "network.json").read_text())
        return [each["kind"] for each in data["resources"]]

    assert sorted(stored()) == ["route-table", "security-group", "vpc"]
    (subnet, _) = ec2.call("DescribeSubnets")["Subnets"]
    ec2.call("CreateTags", Resources=[subnet["SubnetId"]], Tags=[{"Key": "a", "Value": "b"}])
    assert stored().count("subnet") == 1


def test_full_disk(small_disk: Path) -> None:
    """A network that cannot be stored is not made, and the others stay."""
    ec2 = Ec2(small_disk / "aws")
    vpc = ec2.vpc()
    fill(small_disk)
    with pytest.raises(StoreFault, match="cannot write"):
        ec2.vpc()
    assert [each["VpcId"] for each in ec2.call("DescribeVpcs")["Vpcs"]][1:] == [vpc]


@pytest.mark.parametrize(("content", "words"), [("{", "cannot read"), ('{"version": 9}', "another version")])
def test_damaged(ec2: Ec2, tmp_path: Path, content: str, words: str) -> None:
    """A damaged file is refused and kept."""
    ec2.vpc()
    file = ec2.store.folder / "network.json"
    file.write_text(content)
    with pytest.raises(StoreFault, match=words):
        ec2.vpc()
    assert file.read_text() == content
