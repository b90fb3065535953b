"""Containers as instances, for clients of the daemon's AWS APIs."""

from __future__ import annotations

import json

import pytest

from pipeline.aws.keys import AccessKey, AccessKeys
from tests.docker.project import Project
from tests.docker.serving import serving
from tests.support.aws import AwsServer
from tests.support.ports import free_port

pytestmark = pytest.mark.docker


def key_of(project: Project, owner: str) -> AccessKey:
    """Return a new key of an owner."""
    printed = json.loads(project.pipeline("aws", "keys", "create", "--owner", owner, "--json").out)
    found = AccessKeys(project.home.aws).find(printed["id"])
    assert found is not None
    return found


def test_replicas_are_instances(project: Project) -> None:
    """The key of a pipeline's owner sees its replicas as instances, and another key sees none."""
    address = f"127.0.0.1:{free_port()}"
    project.commit("1")
    with serving(project, "--aws", address, "--zone", "here=127.0.0.1") as served:
        served.await_run(1)
        server = AwsServer(f"http://{address}", AccessKeys(project.home.aws), key_of(project, "shop"))
        found = server.client("ec2").describe_instances()["Reservations"]
        instances = [each["Instances"][0] for each in found]
        assert sorted(each["InstanceId"] for each in instances) == sorted(each.name for each in project.containers())
        assert {(each["State"]["Name"], each["Placement"]["AvailabilityZone"]) for each in instances} == {
            ("running", "here")
        }
        assert {"Key": "penstock:release", "Value": "1"} in instances[0]["Tags"]
        other = server.client("ec2", key=key_of(project, "other"))
        assert other.describe_instances()["Reservations"] == []
