"""The types of services that one machine does not have. Their resources are kept, with AWS's ids and attributes."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.stacks.providers.kept import KeptType, Text

_IAM = "kept: nothing checks permissions, and containers have no role"
_LOGS = "kept: the logs of containers are the engine's, as `docker logs` shows them"
_ALARMS = "kept: nothing raises alarms; `pipeline balancer metrics` is for a monitoring system"
_NAMES = "kept: `pipeline serve --dns` answers for the load balancers' own names only"
_MESSAGES = "kept: nothing delivers messages"
_SECRETS = "kept: nothing encrypts by it; secrets of containers are those of pipeline.yaml"
_PIPELINES = "kept: nothing runs it; `pipeline import codepipeline` translates the template into a pipeline.yaml"
_FILTERS = "kept: no request is inspected"


def _named(  # a row of the table
    reason: str,
    name: str,
    ref: str = "{name}",
    required: str = "",
    replaces: str = "",
    length: int = 128,
    attributes: Mapping[str, Text] | None = None,
    **defaults: str,
) -> KeptType:
    """Return a type whose resources have a name, which cannot be changed."""
    needs = frozenset({name, *replaces.split()})
    return KeptType(reason, ref, attributes or {}, name, tuple(required.split()), needs, defaults, length)


def _numbered(
    reason: str, ref: str, required: str = "", replaces: str = "", attributes: Mapping[str, Text] | None = None
) -> KeptType:
    """Return a type whose resources have an id that AWS chooses."""
    return KeptType(
        reason, ref, attributes or {}, required=tuple(required.split()), replaces=frozenset(replaces.split())
    )


def _arn(service: str, path: str, *, regional: bool = True) -> str:
    return f"arn:aws:{service}:{'{region}' if regional else ''}:{{account}}:{path}"


def _iam(path: str) -> str:
    return _arn("iam", path, regional=False)


KEPT_TYPES: Mapping[str, KeptType] = {
    "AWS::IAM::Role": _named(
        _IAM,
        "RoleName",
        required="AssumeRolePolicyDocument",
        replaces="Path",
        length=64,
        attributes={"Arn": _iam("role{Path}{ref}"), "RoleId": "AROA{upper}"},
        Path="/",
    ),
    "AWS::IAM::Policy": _numbered(_IAM, "{name}", "PolicyDocument PolicyName", attributes={"Id": "{ref}"}),
    "AWS::IAM::RolePolicy": _numbered(_IAM, "{PolicyName}|{RoleName}", "PolicyName RoleName", "PolicyName RoleName"),
    "AWS::IAM::ManagedPolicy": _named(
        _IAM,
        "ManagedPolicyName",
        _iam("policy{Path}{name}"),
        required="PolicyDocument",
        replaces="Description Path",
        attributes={
            "PolicyArn": "{ref}",
            "PolicyId": "ANPA{upper}",
            "DefaultVersionId": "v1",
        },
        Path="/",
    ),
    "AWS::IAM::InstanceProfile": _named(
        _IAM,
        "InstanceProfileName",
        required="Roles",
        replaces="Path",
        attributes={"Arn": _iam("instance-profile{Path}{ref}")},
        Path="/",
    ),
    "AWS::IAM::User": _named(_IAM, "UserName", length=64, attributes={"Arn": _iam("user{Path}{ref}")}, Path="/"),
    "AWS::IAM::Group": _named(_IAM, "GroupName", attributes={"Arn": _iam("group{Path}{ref}")}, Path="/"),
    "AWS::Logs::LogGroup": _named(
        _LOGS, "LogGroupName", length=512, attributes={"Arn": _arn("logs", "log-group:{ref}:*")}
    ),
    "AWS::Logs::LogStream": _named(
        _LOGS, "LogStreamName", required="LogGroupName", replaces="LogGroupName", length=512
    ),
    "AWS::Logs::MetricFilter": _named(
        _LOGS,
        "FilterName",
        required="FilterPattern LogGroupName MetricTransformations",
        replaces="LogGroupName",
        length=512,
    ),
    "AWS::CloudWatch::Alarm": _named(
        _ALARMS, "AlarmName", length=255, attributes={"Arn": _arn("cloudwatch", "alarm:{ref}")}
    ),
    "AWS::CloudWatch::Dashboard": _named(_ALARMS, "DashboardName", required="DashboardBody"),
    "AWS::Route53::HostedZone": _numbered(
        _NAMES,
        "Z{upper}",
        replaces="Name",
        attributes={"Id": "{ref}", "NameServers": ("ns-1.localhost", "ns-2.localhost")},
    ),
    "AWS::Route53::RecordSet": KeptType(
        _NAMES,
        "{Name}",
        {"Id": "{ref}"},
        required=("Name", "Type"),
        replaces=frozenset({"HostedZoneId", "HostedZoneName", "Name"}),
        shared=True,
    ),
    "AWS::Route53::RecordSetGroup": _numbered(
        _NAMES, "{name}", replaces="HostedZoneId HostedZoneName", attributes={"Id": "{ref}"}
    ),
    "AWS::ServiceDiscovery::PrivateDnsNamespace": _numbered(
        _NAMES,
        "ns-{hex}",
        "Name Vpc",
        "Name Vpc",
        {"Id": "{ref}", "Arn": _arn("servicediscovery", "namespace/{ref}"), "HostedZoneId": "Z{upper}"},
    ),
    "AWS::ServiceDiscovery::Service": _named(
        _NAMES,
        "Name",
        "srv-{hex}",
        replaces="HealthCheckCustomConfig NamespaceId Type",
        attributes={"Id": "{ref}", "Arn": _arn("servicediscovery", "service/{ref}"), "Name": "{name}"},
    ),
    "AWS::SNS::Topic": _named(
        _MESSAGES,
        "TopicName",
        _arn("sns", "{name}"),
        replaces="FifoTopic",
        length=256,
        attributes={"TopicArn": "{ref}", "TopicName": "{name}"},
    ),
    "AWS::SNS::Subscription": _numbered(
        _MESSAGES, "{TopicArn}:{uuid}", "Protocol TopicArn", "Endpoint Protocol TopicArn", {"Arn": "{ref}"}
    ),
    "AWS::SNS::TopicPolicy": _numbered(_IAM, "{name}", "PolicyDocument Topics", attributes={"Id": "{ref}"}),
    "AWS::SQS::Queue": _named(
        _MESSAGES,
        "QueueName",
        "https://sqs.{region}.amazonaws.com/{account}/{name}",
        replaces="FifoQueue",
        length=80,
        attributes={"Arn": _arn("sqs", "{name}"), "QueueName": "{name}", "QueueUrl": "{ref}"},
    ),
    "AWS::Events::Rule": _named(
        _MESSAGES, "Name", replaces="EventBusName", length=64, attributes={"Arn": _arn("events", "rule/{ref}")}
    ),
    "AWS::CDK::Metadata": _numbered("kept: nothing collects what CDK says about itself", "{uuid}"),
    "AWS::KMS::Key": _numbered(_SECRETS, "{uuid}", attributes={"Arn": _arn("kms", "key/{ref}"), "KeyId": "{ref}"}),
    "AWS::KMS::Alias": _named(_SECRETS, "AliasName", required="AliasName TargetKeyId"),
    "AWS::S3::Bucket": _named(
        "kept: there is no S3, so nothing is stored in it",
        "BucketName",
        "{lower}",
        length=63,
        attributes={
            "Arn": "arn:aws:s3:::{ref}",
            "DomainName": "{ref}.s3.amazonaws.com",
            "DualStackDomainName": "{ref}.s3.dualstack.{region}.amazonaws.com",
            "RegionalDomainName": "{ref}.s3.{region}.amazonaws.com",
            "WebsiteURL": "http://{ref}.s3-website-{region}.amazonaws.com",
        },
    ),
    "AWS::S3::BucketPolicy": _named(_IAM, "Bucket", required="Bucket PolicyDocument"),
    "AWS::WAFv2::WebACL": _named(
        _FILTERS,
        "Name",
        "{name}|{uuid}|{Scope}",
        required="DefaultAction Scope VisibilityConfig",
        replaces="Scope",
        attributes={"Arn": _arn("wafv2", "regional/webacl/{name}/{uuid}"), "Id": "{uuid}"},
    ),
    "AWS::WAFv2::WebACLAssociation": _numbered(
        _FILTERS, "{WebACLArn}|{ResourceArn}", "ResourceArn WebACLArn", "ResourceArn WebACLArn"
    ),
    "AWS::ECR::Repository": _named(
        "kept: images are those of the engine",
        "RepositoryName",
        "{lower}",
        replaces="EncryptionConfiguration",
        length=256,
        attributes={
            "Arn": _arn("ecr", "repository/{ref}"),
            "RepositoryUri": "{account}.dkr.ecr.{region}.amazonaws.com/{ref}",
        },
    ),
    "AWS::CodeBuild::Project": _named(
        _PIPELINES,
        "Name",
        required="Artifacts Environment ServiceRole Source",
        length=150,
        attributes={"Arn": _arn("codebuild", "project/{ref}"), "Id": "{ref}"},
    ),
    "AWS::CodePipeline::Pipeline": _named(
        _PIPELINES, "Name", required="RoleArn Stages", length=100, attributes={"Version": "1"}
    ),
}
