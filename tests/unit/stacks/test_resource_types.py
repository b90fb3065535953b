"""The types that stacks offer, and the words for those that they do not."""

from __future__ import annotations

import pytest

from pipeline.base.errors import ConfigError
from pipeline.stacks.error import StackError
from pipeline.stacks.properties import normalize, parse
from pipeline.stacks.provider import Properties, StackContext
from pipeline.stacks.resource_types import ResourceTypes
from tests.support.stack_world import THING, World

CONTEXT = StackContext("arn", "lab", "shop", "eu-west-1", "000000000000")


class BucketProperties(Properties):
    """Properties of a type that does not exist."""

    bucket_name: str
    max_size: int | None = None


class BucketProvider:
    """A provider that only parses."""

    properties = BucketProperties
    replaces = frozenset[str]()


def test_an_unknown_type_is_refused_with_those_that_are_offered() -> None:
    """The message is AWS's. The hint has the closest type and all others."""
    types = ResourceTypes({THING: World().provider})
    with pytest.raises(StackError) as caught:
        types.check(["Test::World::Think", THING])
    assert caught.value.message == "Template format error: Unrecognized resource types: [Test::World::Think]"
    assert caught.value.hint == f"did you mean {THING}?; offered: {THING}; --ignore-unknown skips the others"


def test_an_ignored_type_says_so() -> None:
    """Its resource has an id and nothing else, and the reason says that nothing was made."""
    provider = ResourceTypes().provider("AWS::S3::Bucket", CONTEXT)
    state = provider.create("lab-Bucket-X", parse(provider, {"Any": {"Thing": [1]}}))
    assert state.physical_id == "lab-Bucket-X"
    assert state.reason == "AWS::S3::Bucket is not offered, so nothing was made (--ignore-unknown)"
    assert provider.delete("lab-Bucket-X") is None


def test_properties_are_compared_by_their_meaning() -> None:
    """Text and numbers of the same value are equal, and what is not given is not stored."""
    assert normalize(BucketProvider(), {"BucketName": 5, "MaxSize": "80"}) == {"BucketName": "5", "MaxSize": 80}
    assert normalize(BucketProvider(), {"BucketName": True}) == {"BucketName": "true"}
    assert normalize(BucketProvider(), {"BucketName": "5"}) == {"BucketName": "5"}


def test_wrong_properties_are_named() -> None:
    """All mistakes are reported, in CloudFormation's words where it has some."""
    with pytest.raises(ConfigError) as caught:
        parse(BucketProvider(), {"BucketNames": "x", "MaxSize": "many"})
    assert caught.value.message == (
        "Properties validation failed: #: required key [BucketName] not found; "
        "#/MaxSize: Input should be a valid integer, unable to parse string as an integer; "
        "#: extraneous key [BucketNames] is not permitted"
    )
