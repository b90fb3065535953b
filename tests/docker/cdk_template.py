"""A template of the shape that CDK makes for a load balanced service: JSON, with everything spelt out."""

from __future__ import annotations

import json
from typing import Any

VERSION = "/cdk-bootstrap/hnb659fds/version"
_ECS = {"Service": "ecs-tasks.amazonaws.com"}


def _ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def _attribute(name: str, attribute: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, attribute]}


def _resource(kind: str, depends_on: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    more = {"DependsOn": list(depends_on)} if depends_on else {}
    return {"Type": f"AWS::{kind}", "Properties": properties, "Metadata": {"aws:cdk:path": kind}, **more}


def _subnet(name: str, zone: int, *, public: bool) -> dict[str, Any]:
    subnet = f"{name}Subnet"
    parts = {
        subnet: _resource(
            "EC2::Subnet",
            AvailabilityZone={"Fn::Select": [zone, {"Fn::GetAZs": ""}]},
            CidrBlock=f"10.0.{64 * (zone + 2 * (not public))}.0/18",
            MapPublicIpOnLaunch=public,
            VpcId=_ref("Vpc"),
        ),
        f"{name}Table": _resource("EC2::RouteTable", VpcId=_ref("Vpc")),
        f"{name}Association": _resource(
            "EC2::SubnetRouteTableAssociation", RouteTableId=_ref(f"{name}Table"), SubnetId=_ref(subnet)
        ),
    }
    way = {"GatewayId": _ref("Gateway")} if public else {"NatGatewayId": _ref(f"Public{zone}Nat")}
    route = {"DestinationCidrBlock": "0.0.0.0/0", "RouteTableId": _ref(f"{name}Table"), **way}
    parts[f"{name}Route"] = _resource("EC2::Route", ("Attachment",) if public else (), **route)
    if public:
        parts[f"{name}Address"] = _resource("EC2::EIP", Domain="vpc")
        allocation = _attribute(f"{name}Address", "AllocationId")
        needs = (f"{name}Route", f"{name}Association")
        parts[f"{name}Nat"] = _resource("EC2::NatGateway", needs, AllocationId=allocation, SubnetId=_ref(subnet))
    return parts


def _network() -> dict[str, Any]:
    names = [(f"{kind}{zone}", zone, kind == "Public") for kind in ("Public", "Private") for zone in (0, 1)]
    return {
        "Vpc": _resource("EC2::VPC", CidrBlock="10.0.0.0/16", EnableDnsHostnames=True, InstanceTenancy="default"),
        "Gateway": _resource("EC2::InternetGateway"),
        "Attachment": _resource("EC2::VPCGatewayAttachment", InternetGatewayId=_ref("Gateway"), VpcId=_ref("Vpc")),
        **{key: part for name, zone, public in names for key, part in _subnet(name, zone, public=public).items()},
    }


def _load_balancer(port: int) -> dict[str, Any]:
    own, tasks = _attribute("EdgeGroup", "GroupId"), _attribute("TaskGroup", "GroupId")
    web = {"CidrIp": "0.0.0.0/0", "FromPort": port, "IpProtocol": "tcp", "ToPort": port}
    inside = {"FromPort": 8080, "IpProtocol": "tcp", "ToPort": 8080}
    attribute = {"Key": "deletion_protection.enabled", "Value": "false"}
    return {
        "EdgeGroup": _resource(
            "EC2::SecurityGroup", GroupDescription="edge", SecurityGroupIngress=[web], VpcId=_ref("Vpc")
        ),
        "EdgeToTasks": _resource("EC2::SecurityGroupEgress", DestinationSecurityGroupId=tasks, GroupId=own, **inside),
        "TaskGroup": _resource("EC2::SecurityGroup", GroupDescription="tasks", VpcId=_ref("Vpc")),
        "TasksFromEdge": _resource("EC2::SecurityGroupIngress", GroupId=tasks, SourceSecurityGroupId=own, **inside),
        "Edge": _resource(
            "ElasticLoadBalancingV2::LoadBalancer",
            ("Public0Route", "Public1Route"),
            LoadBalancerAttributes=[attribute],
            Scheme="internet-facing",
            SecurityGroups=[own],
            Subnets=[_ref("Public0Subnet"), _ref("Public1Subnet")],
            Type="application",
        ),
        "Group": _resource(
            "ElasticLoadBalancingV2::TargetGroup",
            Port=80,
            Protocol="HTTP",
            TargetGroupAttributes=[
                {"Key": "stickiness.enabled", "Value": "false"},
                # CDK leaves out the delay, which is five minutes then.
                {"Key": "deregistration_delay.timeout_seconds", "Value": "1"},
            ],
            TargetType="ip",
            VpcId=_ref("Vpc"),
        ),
        "Listener": _resource(
            "ElasticLoadBalancingV2::Listener",
            DefaultActions=[{"TargetGroupArn": _ref("Group"), "Type": "forward"}],
            LoadBalancerArn=_ref("Edge"),
            Port=port,
            Protocol="HTTP",
        ),
    }


def _role() -> dict[str, Any]:
    statement = {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": _ECS}
    return _resource("IAM::Role", AssumeRolePolicyDocument={"Statement": [statement], "Version": "2012-10-17"})


def _service(image: str) -> dict[str, Any]:
    log = {"awslogs-group": _ref("Log"), "awslogs-region": _ref("AWS::Region"), "awslogs-stream-prefix": "Web"}
    container = {
        "Essential": True,
        "Image": image,
        "LogConfiguration": {"LogDriver": "awslogs", "Options": log},
        "Name": "web",
        "PortMappings": [{"ContainerPort": 8080, "Protocol": "tcp"}],
    }
    target = {"ContainerName": "web", "ContainerPort": 8080, "TargetGroupArn": _ref("Group")}
    network = {
        "AssignPublicIp": "DISABLED",
        "SecurityGroups": [_attribute("TaskGroup", "GroupId")],
        "Subnets": [_ref("Private0Subnet"), _ref("Private1Subnet")],
    }
    return {
        "Cluster": {"Type": "AWS::ECS::Cluster"},
        "Log": {"Type": "AWS::Logs::LogGroup", "UpdateReplacePolicy": "Retain", "DeletionPolicy": "Delete"},
        "TaskRole": _role(),
        "ExecutionRole": _role(),
        "Task": _resource(
            "ECS::TaskDefinition",
            ContainerDefinitions=[container],
            Cpu="256",
            ExecutionRoleArn=_attribute("ExecutionRole", "Arn"),
            Family="ShopWeb",
            Memory="512",
            NetworkMode="awsvpc",
            RequiresCompatibilities=["FARGATE"],
            TaskRoleArn=_attribute("TaskRole", "Arn"),
        ),
        "Service": _resource(
            "ECS::Service",
            ("Listener", "TaskRole"),
            Cluster=_ref("Cluster"),
            DeploymentConfiguration={
                "Alarms": {"AlarmNames": [], "Enable": False, "Rollback": False},
                "MaximumPercent": 200,
                "MinimumHealthyPercent": 50,
            },
            DesiredCount=2,
            EnableECSManagedTags=False,
            HealthCheckGracePeriodSeconds=60,
            LaunchType="FARGATE",
            LoadBalancers=[target],
            NetworkConfiguration={"AwsvpcConfiguration": network},
            TaskDefinition=_ref("Task"),
        ),
    }


def cdk_template(image: str, port: int) -> str:
    """Return the template. Its parameter `BootstrapVersion` names the one of SSM that CDK's bootstrap stack makes."""
    contains = {"Fn::Contains": [["1", "2", "3", "4", "5"], _ref("BootstrapVersion")]}
    assertion = {"Assert": {"Fn::Not": [contains]}, "AssertDescription": "a bootstrap stack of version 6 is required"}
    metadata = {"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": "v2:none"}, "Condition": "IsKnownRegion"}
    return json.dumps(
        {
            "Resources": {**_network(), **_load_balancer(port), **_service(image), "CDKMetadata": metadata},
            "Conditions": {"IsKnownRegion": {"Fn::Or": [{"Fn::Equals": [_ref("AWS::Region"), "us-east-1"]}] * 2}},
            "Outputs": {"Url": {"Value": {"Fn::Join": ["", ["http://", _attribute("Edge", "DNSName")]]}}},
            "Parameters": {"BootstrapVersion": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": VERSION}},
            "Rules": {"CheckBootstrapVersion": {"Assertions": [assertion]}},
        },
        indent=1,
    )
