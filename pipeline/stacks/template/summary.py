"""What GetTemplateSummary and ValidateTemplate answer about a template."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.stacks.template.document import Document
from pipeline.stacks.template.parameter import Parameter
from pipeline.stacks.template.resource import Resource
from pipeline.stacks.template.section import transforms
from pipeline.stacks.template.values import JSON

# The property that names a resource of IAM. With it, CloudFormation asks for CAPABILITY_NAMED_IAM.
_IAM_NAMES = {
    "AWS::IAM::AccessKey": None,
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": None,
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
    "AWS::IAM::UserToGroupAddition": None,
}


def summary(
    document: Document, parameters: Mapping[str, Parameter], resources: Mapping[str, Resource]
) -> dict[str, JSON]:
    """Return the answer of GetTemplateSummary, without empty keys but `Parameters` and `ResourceTypes`."""
    answer: dict[str, JSON] = {
        "Parameters": [_parameter(parameter) for parameter in parameters.values()],
        "ResourceTypes": [*dict.fromkeys(resource.type for resource in resources.values())],
    }
    if "Description" in document.data:
        answer["Description"] = document.data["Description"]
    if "AWSTemplateFormatVersion" in document.data:
        answer["Version"] = document.data["AWSTemplateFormatVersion"]
    if "Metadata" in document.data:
        answer["Metadata"] = json.dumps(document.data["Metadata"], separators=(",", ":"))
    if declared := transforms(document):
        answer["DeclaredTransforms"] = [*declared]
    return answer | _capabilities(resources, declared)


def _parameter(parameter: Parameter) -> dict[str, JSON]:
    answer: dict[str, JSON] = {
        "ParameterKey": parameter.name,
        "ParameterType": parameter.type,
        "NoEcho": parameter.no_echo,
        "ParameterConstraints": {} if parameter.allowed is None else {"AllowedValues": [*parameter.allowed]},
    }
    if parameter.default is not None:
        answer["DefaultValue"] = "****" if parameter.no_echo else parameter.default
    if parameter.description:
        answer["Description"] = parameter.description
    return answer


def _capabilities(resources: Mapping[str, Resource], declared: tuple[str, ...]) -> dict[str, JSON]:
    """Return the capabilities that a user has to acknowledge, and why."""
    needing = [resource for resource in resources.values() if resource.type in _IAM_NAMES]
    capabilities: list[JSON] = []
    if needing:
        named = any(_IAM_NAMES[resource.type] in resource.properties for resource in needing)
        capabilities.append("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM")
    if declared:
        capabilities.append("CAPABILITY_AUTO_EXPAND")
    if not capabilities:
        return {}
    types = ", ".join(dict.fromkeys(resource.type for resource in needing))
    reasons = [f"The following resource(s) require capabilities: [{types}]"] if needing else []
    reasons += [f"The following transform(s) require capabilities: [{', '.join(declared)}]"] if declared else []
    return {"Capabilities": capabilities, "CapabilitiesReason": "; ".join(reasons)}
