"""CloudFormation as a service of the AWS endpoint."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.aws.service import Call, Service
from pipeline.stacks.cloudformation.call import Answer, each
from pipeline.stacks.cloudformation.change_set_operations import ChangeSetOperations
from pipeline.stacks.cloudformation.drift_operations import DriftOperations
from pipeline.stacks.cloudformation.stack_operations import StackOperations
from pipeline.stacks.cloudformation.template_operations import TemplateOperations
from pipeline.stacks.stacks import Stacks

_STACK_SETS = "There is one account and one machine: create a stack."
_REFUSED = {
    "SetStackPolicy": "Stack policies are not supported: an owner may change all resources of its stacks.",
    "CreateStackSet": _STACK_SETS,
    "CreateStackInstances": _STACK_SETS,
    "RegisterType": "Types of others are not supported.",
    "ActivateType": "Types of others are not supported.",
    "EstimateTemplateCost": "Nothing here costs money.",
    "CreateGeneratedTemplate": "Templates are not generated from resources.",
}


def cloudformation_service(stacks: Callable[[], Stacks]) -> Service:
    """Return the service. `stacks` is called for each operation, so stacks are loaded at their first use."""
    on_stacks, on_change_sets = StackOperations(stacks), ChangeSetOperations(stacks)
    on_templates, on_drift = TemplateOperations(stacks), DriftOperations(stacks)
    operations = {
        "CreateStack": on_stacks.create_stack,
        "UpdateStack": on_stacks.update_stack,
        "DeleteStack": on_stacks.delete_stack,
        "CancelUpdateStack": on_stacks.cancel_update_stack,
        "ContinueUpdateRollback": on_stacks.continue_update_rollback,
        "UpdateTerminationProtection": on_stacks.update_termination_protection,
        "DescribeStacks": on_stacks.describe_stacks,
        "ListStacks": on_stacks.list_stacks,
        "DescribeStackEvents": on_stacks.describe_stack_events,
        "DescribeStackResource": on_stacks.describe_stack_resource,
        "DescribeStackResources": on_stacks.describe_stack_resources,
        "ListStackResources": on_stacks.list_stack_resources,
        "SignalResource": on_stacks.signal_resource,
        "ListExports": on_stacks.list_exports,
        "ListImports": on_stacks.list_imports,
        "CreateChangeSet": on_change_sets.create_change_set,
        "DescribeChangeSet": on_change_sets.describe_change_set,
        "ExecuteChangeSet": on_change_sets.execute_change_set,
        "DeleteChangeSet": on_change_sets.delete_change_set,
        "ListChangeSets": on_change_sets.list_change_sets,
        "GetTemplate": on_templates.get_template,
        "GetTemplateSummary": on_templates.get_template_summary,
        "ValidateTemplate": on_templates.validate_template,
        "GetStackPolicy": _no_policy,
        "DetectStackDrift": on_drift.detect_stack_drift,
        "DetectStackResourceDrift": on_drift.detect_stack_resource_drift,
        "DescribeStackDriftDetectionStatus": on_drift.describe_stack_drift_detection_status,
        "DescribeStackResourceDrifts": on_drift.describe_stack_resource_drifts,
    }
    return Service("cloudformation", "2010-05-15", "cloudformation", each(operations), _REFUSED)


def _no_policy(_: Call) -> Answer:
    """Return what a stack without a policy answers."""
    return {}
