"""SSM's API, by botocore's client over HTTP."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import StoreFault
from pipeline.parameter_store.parameter import MAX_VERSIONS
from pipeline.parameter_store.ssm import ssm_service
from pipeline.parameter_store.store import ParameterStore
from tests.support.aws import AwsServer, aws_server, refusal


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AwsServer, Path]]:
    """A server over one folder, for all tests: each has an owner of its own."""
    folder = tmp_path_factory.mktemp("aws")
    with aws_server(folder, [ssm_service(ParameterStore(folder))]) as server:
        yield server, folder


@pytest.fixture
def ssm(server: tuple[AwsServer, Path], request: pytest.FixtureRequest) -> Any:
    """A client of an owner without parameters."""
    running, _ = server
    owner = f"test-{abs(hash(request.node.name)) % 10**9}"
    return running.client("ssm", key=running.keys.create(owner))


def put(ssm: Any, name: str, value: str = "1", **more: Any) -> Any:
    """Make a parameter."""
    return ssm.put_parameter(**{"Name": name, "Value": value, "Type": "String", **more})


def names(found: list[dict[str, Any]]) -> list[str]:
    """Return the names of parameters."""
    return [each["Name"] for each in found]


def test_a_parameter_is_put_read_overwritten_and_deleted(ssm: Any) -> None:
    """Each value is a version, which can be read by its number."""
    assert put(ssm, "/shop/size")["Version"] == 1
    refused = ssm.exceptions.ParameterAlreadyExists
    with pytest.raises(refused):
        put(ssm, "/shop/size", "2")
    assert ssm.put_parameter(Name="/shop/size", Value="2", Overwrite=True)["Version"] == 2
    found = ssm.get_parameter(Name="/shop/size")["Parameter"]
    assert (found["Value"], found["Type"], found["Version"], found["DataType"]) == ("2", "String", 2, "text")
    assert found["ARN"] == "arn:aws:ssm:eu-west-1:000000000000:parameter/shop/size"
    former = ssm.get_parameter(Name="/shop/size:1")["Parameter"]
    assert (former["Value"], former["Selector"]) == ("1", ":1")
    ssm.delete_parameter(Name="/shop/size")
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name="/shop/size")
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.delete_parameter(Name="/shop/size")


def test_another_owner_sees_nothing(ssm: Any, server: tuple[AwsServer, Path]) -> None:
    """Parameters are an owner's. Two owners may use the same name."""
    put(ssm, "/shop/size")
    other = server[0].client("ssm", key=server[0].keys.create("another"))
    assert other.describe_parameters()["Parameters"] == []
    assert put(other, "/shop/size", "7")["Version"] == 1
    assert ssm.get_parameter(Name="/shop/size")["Parameter"]["Value"] == "1"


def test_a_secure_string_is_shown_on_request_only(ssm: Any, server: tuple[AwsServer, Path]) -> None:
    """Without WithDecryption, no answer has the value. The file is its owner's alone."""
    put(ssm, "/shop/password", "open sesame", Type="SecureString")
    hidden = ssm.get_parameter(Name="/shop/password")["Parameter"]
    assert (hidden["Type"], "sesame" in hidden["Value"]) == ("SecureString", False)
    shown = ssm.get_parameter(Name="/shop/password", WithDecryption=True)["Parameter"]
    assert shown["Value"] == "open sesame"
    (described,) = ssm.describe_parameters()["Parameters"]
    assert (described["KeyId"], "Value" in described) == ("alias/aws/ssm", False)
    assert stat.S_IMODE((server[1] / "parameters.json").stat().st_mode) == 0o600


def test_several_parameters_and_those_of_a_path(ssm: Any) -> None:
    """A path has its own level, or all below it. Pages follow one another."""
    for name in ("/shop/a", "/shop/b", "/shop/deep/c", "/shopping/d", "plain"):
        put(ssm, name, name[-1])
    found = ssm.get_parameters(Names=["/shop/a", "nothing", "plain:2", "plain"])
    assert (names(found["Parameters"]), found["InvalidParameters"]) == (["/shop/a", "plain"], ["nothing", "plain:2"])
    assert names(ssm.get_parameters_by_path(Path="/shop")["Parameters"]) == ["/shop/a", "/shop/b"]
    below = ssm.get_paginator("get_parameters_by_path").paginate(
        Path="/shop/", Recursive=True, PaginationConfig={"PageSize": 1}
    )
    assert [name for page in below for name in names(page["Parameters"])] == ["/shop/a", "/shop/b", "/shop/deep/c"]
    assert ssm.delete_parameters(Names=["plain", "nothing"]) | {"ResponseMetadata": None} == {
        "DeletedParameters": ["plain"],
        "InvalidParameters": ["nothing"],
        "ResponseMetadata": None,
    }


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"Key": "Name", "Option": "BeginsWith", "Values": ["/shop/b"]}, ["/shop/b"]),
        ({"Key": "Name", "Option": "Contains", "Values": ["deep"]}, ["/shop/deep/c"]),
        ({"Key": "Type", "Values": ["StringList"]}, ["/shop/b"]),
        ({"Key": "Path", "Values": ["/shop"]}, ["/shop/a", "/shop/b"]),
        ({"Key": "Path", "Option": "Recursive", "Values": ["/shop/deep"]}, ["/shop/deep/c"]),
        ({"Key": "tag:team", "Values": ["shop"]}, ["/shop/a"]),
        ({"Key": "tag:team"}, ["/shop/a"]),
    ],
)
def test_a_filter(ssm: Any, wanted: dict[str, Any], found: list[str]) -> None:
    """DescribeParameters lists what passes all filters."""
    put(ssm, "/shop/a", Tags=[{"Key": "team", "Value": "shop"}])
    put(ssm, "/shop/b", "1,2", Type="StringList")
    put(ssm, "/shop/deep/c")
    assert names(ssm.describe_parameters(ParameterFilters=[wanted])["Parameters"]) == found


def test_tags(ssm: Any) -> None:
    """Tags are added, replaced, listed and removed."""
    put(ssm, "size", Tags=[{"Key": "team", "Value": "shop"}])
    which = {"ResourceType": "Parameter", "ResourceId": "size"}
    ssm.add_tags_to_resource(**which, Tags=[{"Key": "team", "Value": "blog"}, {"Key": "stage", "Value": "test"}])
    ssm.remove_tags_from_resource(**which, TagKeys=["stage"])
    assert ssm.list_tags_for_resource(**which)["TagList"] == [{"Key": "team", "Value": "blog"}]
    assert refusal(ssm.list_tags_for_resource, **which | {"ResourceId": "none"})[0] == "InvalidResourceId"


def test_only_the_newest_versions_are_kept(ssm: Any) -> None:
    """The history has a hundred versions, and the first one is forgotten."""
    put(ssm, "size")
    for value in range(MAX_VERSIONS):
        ssm.put_parameter(Name="size", Value=str(value), Overwrite=True)
    pages = ssm.get_paginator("get_parameter_history").paginate(Name="size")
    numbers = [each["Version"] for page in pages for each in page["Parameters"]]
    assert numbers == list(range(2, MAX_VERSIONS + 2))
    with pytest.raises(ssm.exceptions.ParameterVersionNotFound):
        ssm.get_parameter(Name="size:1")


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"Type": None}, "ValidationException", "A parameter type is required when you create a parameter."),
        ({"Name": "shop/size"}, "ValidationException", "must be a fully qualified name"),
        ({"Name": "/aws/size"}, "ValidationException", 'can\'t be prefixed with "aws"'),
        ({"Name": "/shop//size"}, "ValidationException", "between slashes"),
        ({"Name": "/a" * 17}, "ValidationException", "at most 15 levels"),
        ({"Value": "ä" * 2049}, "ValidationException", "maximum parameter value of 4096 characters"),
        ({"Policies": "[]"}, "ValidationException", "Policies is not supported"),
        ({"AllowedPattern": ".*"}, "ValidationException", "AllowedPattern is not supported"),
        ({"DataType": "aws:ec2:image"}, "ValidationException", "DataType aws:ec2:image is not supported"),
        (
            {"Overwrite": True, "Tags": [{"Key": "a", "Value": "b"}]},
            "ValidationException",
            "tags and overwrite can't be used together",
        ),
    ],
)
def test_a_parameter_that_is_refused(ssm: Any, given: dict[str, Any], code: str, message: str) -> None:
    """The error has AWS's code, and says what is wrong. Nothing is kept."""
    wanted = {"Name": "size", "Value": "1", "Type": "String", **given}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    found = refusal(ssm.put_parameter, **wanted)
    assert found[0] == code
    assert message in found[1]
    assert ssm.describe_parameters()["Parameters"] == []


@pytest.mark.parametrize("content", ["{", '{"version": 7, "parameters": []}', '{"version": 1, "parameters": [{}]}'])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    """The error names the file, and the file stays."""
    (tmp_path / "parameters.json").write_text(content)
    with pytest.raises(StoreFault, match=r"parameters\.json"):
        ParameterStore(tmp_path).all("aws")
    assert (tmp_path / "parameters.json").read_text() == content


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "aws").write_text("")
    with pytest.raises(StoreFault, match=r"cannot (read|write) .*parameters\.json"):
        ParameterStore(tmp_path / "aws").change("aws", "size", lambda _: None)
