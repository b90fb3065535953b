"""The types of parameters."""

from __future__ import annotations

SSM_PREFIX = "AWS::SSM::Parameter::Value<"
_AWS = frozenset(
    {
        "AWS::EC2::AvailabilityZone::Name",
        "AWS::EC2::Image::Id",
        "AWS::EC2::Instance::Id",
        "AWS::EC2::KeyPair::KeyName",
        "AWS::EC2::SecurityGroup::GroupName",
        "AWS::EC2::SecurityGroup::Id",
        "AWS::EC2::Subnet::Id",
        "AWS::EC2::VPC::Id",
        "AWS::EC2::Volume::Id",
        "AWS::Route53::HostedZone::Id",
        "AWS::SSM::Parameter::Name",
    }
)
_SINGLE = _AWS | {"String", "Number"}
_TYPES = _SINGLE | {f"List<{name}>" for name in _SINGLE} | {"CommaDelimitedList"}


def is_valid(type_: str) -> bool:
    """Return whether CloudFormation has the type."""
    return resolved_type(type_) in _TYPES


def resolved_type(type_: str) -> str:
    """Return the type of the value: for `AWS::SSM::Parameter::Value<String>` it is String."""
    inner = type_.removeprefix(SSM_PREFIX)
    return inner.removesuffix(">") if inner != type_ else type_


def is_list(type_: str) -> bool:
    """Return whether values are lists."""
    return type_ == "CommaDelimitedList" or type_.startswith("List<")


def is_number(type_: str) -> bool:
    """Return whether values, or the items of lists, are numbers."""
    return type_ in ("Number", "List<Number>")


def aws_type(type_: str) -> str | None:
    """Return the type of AWS of a value, or of each item of a list. None for text and numbers."""
    single = resolved_type(type_).removeprefix("List<").removesuffix(">")
    return single if single in _AWS else None
