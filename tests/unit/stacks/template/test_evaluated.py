"""An evaluated template: its resources, their order, and their values before and after they exist."""

from __future__ import annotations

import pytest

from pipeline.stacks.template import JSON, KNOWN_AFTER_APPLY, Reference, TemplateError, Unknown
from tests.unit.stacks.template.good import GOOD, attributes, evaluated, unknown

PROD = {"Environment": "prod", "Port": "443"}


def test_a_condition_removes_a_resource() -> None:
    """Resources and outputs exist only while their condition holds."""
    assert list(evaluated(GOOD).resources) == ["Web", "Group", "Listener"]
    found = evaluated(GOOD, PROD)
    assert list(found.resources) == ["Web", "Group", "Listener", "Audit"]
    assert found.conditions == {"IsProd": True, "IsTest": False}
    text = GOOD.replace("    Description: Address", "    Condition: IsProd\n    Description: Address")
    assert list(evaluated(text).outputs(attributes)) == []
    assert list(evaluated(text, PROD).outputs(attributes)) == ["Url"]


def test_a_resource_keeps_what_it_declares() -> None:
    """Type, policies, metadata and the place in the file are kept. Policies are without functions."""
    text = GOOD.replace(
        "    DependsOn: Group\n",
        "    DependsOn: Group\n    UpdateReplacePolicy: Snapshot\n    Metadata: {Note: !Sub '${Name}'}\n"
        "    CreationPolicy: {ResourceSignal: {Count: !FindInMap [Sizes, !Ref Environment, Count]}}\n"
        "    UpdatePolicy: {AutoScalingRollingUpdate: {PauseTime: PT1M}}\n",
    )
    found = evaluated(text, PROD).resources
    listener = found["Listener"]
    assert (listener.name, listener.type) == ("Listener", "AWS::ElasticLoadBalancingV2::Listener")
    assert (listener.deletion_policy, listener.update_replace_policy) == ("Delete", "Snapshot")
    assert listener.metadata == {"Note": {"Fn::Sub": "${Name}"}}
    assert listener.creation_policy == {"ResourceSignal": {"Count": 3}}
    assert listener.update_policy == {"AutoScalingRollingUpdate": {"PauseTime": "PT1M"}}
    assert (listener.line, listener.column) == (45, 3)
    assert found["Audit"].deletion_policy == "Retain"


def test_dependencies_are_declared_and_implied() -> None:
    """DependsOn, Ref, Fn::GetAtt and Fn::Sub are dependencies, in metadata too."""
    text = GOOD.replace("!Ref Subnets", "!Sub '${Group.Arn}'").replace(
        "    DependsOn: Group", "    Metadata: !GetAtt Group.Arn"
    )
    found = evaluated(text, PROD)
    assert found.resources["Web"].depends_on == ("Group",)
    assert found.resources["Listener"].depends_on == ("Web", "Group")
    assert found.order == ("Group", "Web", "Listener", "Audit")


def test_only_the_chosen_branch_is_a_dependency() -> None:
    """Fn::If may refer to a resource that does not exist, and to one that would be a cycle, in the other branch."""
    text = GOOD.replace("!Ref Subnets", "!If [IsProd, [!Ref Audit, !Ref Web, !Ref Listener], !Ref AWS::NoValue]")
    assert evaluated(text).resources["Web"].depends_on == ()
    with pytest.raises(TemplateError) as caught:
        evaluated(text, PROD)
    assert caught.value.reason == "Circular dependency between resources: [Web, Listener]"


def test_properties_are_resolved() -> None:
    """Functions are replaced, and what is no function stays as it is."""
    found = evaluated(GOOD)
    assert found.resolve("Web", attributes) == {"Name": "shop-eu-west-1", "Subnets": ["subnet-1", "subnet-2"]}
    assert found.resolve("Listener", attributes) == {
        "LoadBalancerArn": "Web",
        "Port": 80,
        "DefaultActions": [{"Type": "forward", "TargetGroupArn": "Group"}],
    }
    assert evaluated(GOOD, PROD).resolve("Audit", attributes) == {}


def test_a_value_that_is_not_known_yet() -> None:
    """Text with an unknown part is unknown as a whole. Properties name the references that cause it."""
    functions = (
        '[!Sub "${Name}/${Web}", !Join [",", [a, !Ref Web]], !Split [",", !Ref Web], !Base64 {Ref: Web}, '
        "!Select [0, !GetAtt Web.Zones], !Select [1, [!Ref Web, b]], !Cidr [!Ref Web, 1, 8]]"
    )
    text = GOOD.replace("      Port: 80\n", f"      Port: 80\n      Tags: {functions}\n")
    found = evaluated(text)
    resolved = found.resolve("Listener", unknown)
    assert resolved["Tags"] == [*[KNOWN_AFTER_APPLY] * 5, "b", KNOWN_AFTER_APPLY]
    assert resolved["Port"] == 80
    assert found.unresolved("Listener", unknown) == {
        "LoadBalancerArn": (Reference("ResourceReference", "Web"),),
        "Tags": (Reference("ResourceReference", "Web"), Reference("ResourceAttribute", "Web", "Zones")),
        "DefaultActions": (Reference("ResourceReference", "Group"),),
    }
    assert evaluated(GOOD).unresolved("Listener", attributes) == {}


def test_some_values_may_be_known_before_others() -> None:
    """On a replacement only the values of the new resource are unknown."""

    def web_is_new(name: str, attribute: str | None) -> JSON:
        if name == "Web":
            raise Unknown
        return attributes(name, attribute)

    assert list(evaluated(GOOD).unresolved("Listener", web_is_new)) == ["LoadBalancerArn"]


def test_unknown_values_in_the_language_extensions() -> None:
    """The length of an unknown list, and unknown JSON, are unknown."""
    functions = "[!Length [!Ref Web], !Length {'Fn::Split': [',', !Ref Web]}, !ToJsonString [!Ref Web]]"
    text = GOOD.replace("      Port: 80\n", f"      Port: {functions}\n")
    resolved = evaluated(f"Transform: AWS::LanguageExtensions\n{text}").resolve("Listener", unknown)
    assert resolved["Port"] == [1, KNOWN_AFTER_APPLY, KNOWN_AFTER_APPLY]


def test_references_are_the_causes_of_changes() -> None:
    """Each property has its references, to parameters too, once each."""
    found = evaluated(GOOD.replace("Port: !Ref Port", 'Port: !Sub "${Port}${Port}${AWS::Region}"'))
    assert found.references("Group") == {"Port": (Reference("ParameterReference", "Port"),)}
    assert found.references("Listener") == {
        "LoadBalancerArn": (Reference("ResourceReference", "Web"),),
        "DefaultActions": (Reference("ResourceReference", "Group"),),
    }
    assert Reference("ResourceAttribute", "Web", "Arn").entity == "Web.Arn"
    assert Reference("ResourceReference", "Web").entity == "Web"


def test_an_attribute_that_the_type_does_not_have() -> None:
    """The function for attributes says so by `KeyError`."""

    def only_refs(name: str, attribute: str | None) -> JSON:
        if attribute is not None:
            raise KeyError(attribute)
        return name

    with pytest.raises(TemplateError) as caught:
        evaluated(GOOD).outputs(only_refs)
    assert caught.value.reason == "Template error: resource Web does not support attribute type DNSName in Fn::GetAtt"
    assert caught.value.path == "Outputs.Url.Value.Fn::Sub"


def test_outputs_are_text() -> None:
    """Numbers and booleans become text, and an output that is not known yet says so."""
    text = GOOD + "  Count: {Value: !If [IsProd, 1, 2]}\n  Open: {Value: true}\n"
    outputs = evaluated(text).outputs(attributes)
    assert {name: output.value for name, output in outputs.items()} == {
        "Url": "http://Web.DNSName/",
        "Count": "2",
        "Open": "true",
    }
    assert (outputs["Url"].description, outputs["Url"].export) == ("Address of the service", "shop:Url")
    assert (outputs["Count"].description, outputs["Count"].export) == ("", None)
    assert evaluated(text).outputs(unknown)["Url"].value == KNOWN_AFTER_APPLY


def test_exports_and_imports_are_known_before_resources_exist() -> None:
    """The names of exports and of imports are there for the check against other stacks."""
    text = GOOD.replace("!Ref Subnets", "!ImportValue 'net:Vpc'")
    found = evaluated(text)
    assert found.exports == {"Url": "shop:Url"}
    assert found.imports == {"net:Vpc"}
    output = GOOD + "  Vpc: {Value: !ImportValue 'net:Vpc'}\n"
    assert evaluated(output).imports == {"net:Vpc"}


def test_a_policy_may_be_computed_with_the_language_extensions() -> None:
    """DeletionPolicy takes functions then, and its result is checked."""
    text = f"Transform: AWS::LanguageExtensions\n{GOOD}"
    policy = text.replace("DeletionPolicy: Retain", "DeletionPolicy: !If [IsProd, RetainExceptOnCreate, Delete]")
    assert evaluated(policy, PROD).resources["Audit"].deletion_policy == "RetainExceptOnCreate"
    with pytest.raises(TemplateError) as caught:
        evaluated(text.replace("DeletionPolicy: Retain", "DeletionPolicy: !Ref Name"), PROD)
    assert caught.value.reason == "Template format error: Unrecognized DeletionPolicy shop for resource Audit"


def test_a_malformed_resource() -> None:
    """The type has to be text."""
    with pytest.raises(TemplateError) as caught:
        evaluated("Resources: {A: {Type: [a]}}")
    assert caught.value.reason == "Template format error: [/Resources/A/Type] Every Type member must be a string."
    with pytest.raises(TemplateError) as caught:
        evaluated("Resources: {}")
    assert caught.value.reason == "Template format error: At least one Resources member must be defined."
    with pytest.raises(TemplateError) as caught:
        evaluated("Conditions: {'a-b': !Equals [a, b]}\nResources: {A: {Type: B}}")
    assert caught.value.reason == "Template format error: Conditions name 'a-b' is non alphanumeric."
    with pytest.raises(TemplateError) as caught:
        evaluated("Conditions: {A: {Condition: [x]}}\nResources: {A: {Type: B}}")
    assert caught.value.reason == "Template error: every Condition member must be a string."
