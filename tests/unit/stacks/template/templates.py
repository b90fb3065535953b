"""Templates of the kinds that users of AWS have: each has the features of a kind, and is written for the tests."""

from __future__ import annotations

NETWORK = """\
Description: >-
  A VPC with a subnet in each of two zones,
  and an application load balancer in them
Mappings:
  Ranges:
    Vpc: {Cidr: 10.20.0.0/16}
Resources:
  Vpc:
    Type: AWS::EC2::VPC
    Properties:
      CidrBlock: !FindInMap [Ranges, Vpc, Cidr]
  SubnetOne:
    Type: AWS::EC2::Subnet
    Properties:
      AvailabilityZone: !Select [0, !GetAZs {Ref: AWS::Region}]
      CidrBlock: !Select [0, !Cidr [!GetAtt Vpc.CidrBlock, 2, 8]]
      VpcId: !Ref Vpc
  SubnetTwo:
    Type: AWS::EC2::Subnet
    Properties:
      AvailabilityZone:
        Fn::Select:
          - 1
          - Fn::GetAZs: {Ref: 'AWS::Region'}
      CidrBlock: !Select [1, !Cidr [!GetAtt Vpc.CidrBlock, 2, 8]]
      VpcId: !Ref Vpc
  Gateway: {Type: AWS::EC2::InternetGateway}
  Attachment:
    Type: AWS::EC2::VPCGatewayAttachment
    Properties: {VpcId: !Ref Vpc, InternetGatewayId: !Ref Gateway}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement:
          - Effect: Allow
            Principal: {Service: !Sub "ecs-tasks.${AWS::URLSuffix}"}
            Action: ['sts:AssumeRole']
            Condition: {StringEquals: {'aws:SourceAccount': !Ref AWS::AccountId}}
  Balancer:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    DependsOn: [Attachment]
    Properties:
      Subnets: [!Ref SubnetOne, !Ref SubnetTwo]
Outputs:
  Url:
    Value: !Join ['', ['http://', !GetAtt Balancer.DNSName]]
    Export: {Name: !Join [':', [!Ref AWS::StackName, Url]]}
"""

SUBNETS = """\
Parameters:
  Count: {Type: String, Default: 2, AllowedValues: [1, 2, 3]}
  Subnets: {Type: List<AWS::EC2::Subnet::Id>}
  Certificate: {Type: String, Default: '', AllowedPattern: '^$|arn:aws:acm:.*'}
Conditions:
  One: !Equals [1, !Ref Count]
  Two: !Equals [2, !Ref Count]
  Secure: !Not [!Equals ['', !Ref Certificate]]
Resources:
  Balancer:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties:
      Subnets:
        !If
          - One
          - [!Select [0, !Ref Subnets]]
          - !If [Two, [!Select [0, !Ref Subnets], !Select [1, !Ref Subnets]], !Ref Subnets]
  Secured:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Condition: Secure
    Properties: {LoadBalancerArn: !Ref Balancer, Certificates: [{CertificateArn: !Ref Certificate}], Port: '443'}
Outputs:
  Secured: {Value: !If [Secure, True, False]}
  Listener: {Condition: Secure, Value: !Ref Secured}
"""

SERVICE = """\
Parameters:
  Network: {Type: String, Default: net}
  Image: {Type: String}
  Port: {Type: Number, Default: 80}
  Role: {Type: String, Default: ""}
Conditions:
  HasRole: !Not [!Equals [!Ref Role, ""]]
Resources:
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      TaskRoleArn: !If [HasRole, !Ref Role, !Ref "AWS::NoValue"]
      ContainerDefinitions:
        - Name: web
          Image: !Ref Image
          PortMappings: [{ContainerPort: !Ref Port}]
  Service:
    Type: AWS::ECS::Service
    DependsOn: Rule
    UpdateReplacePolicy: Retain
    Properties:
      Cluster: {Fn::ImportValue: !Join [':', [!Ref Network, Cluster]]}
      NetworkConfiguration: {AwsvpcConfiguration: {Subnets: !Split [',', !ImportValue 'net:Subnets']}}
      TaskDefinition: !Ref Task
  Rule:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties: {ListenerArn: {'Fn::ImportValue': !Sub '${Network}:Listener'}, Priority: 1}
"""

# What CDK writes: JSON, a version of the bootstrap stack in SSM, a rule about it, and metadata in known regions.
CDK = """\
{
 "Resources": {
  "Service9571FDD8": {
   "Type": "AWS::ECS::Service",
   "Properties": {"Cluster": {"Fn::GetAtt": ["Cluster", "Arn"]}},
   "DependsOn": ["Listener", "Group"],
   "Metadata": {"aws:cdk:path": "Stack/Service"}
  },
  "Cluster": {"Type": "AWS::ECS::Cluster", "UpdateReplacePolicy": "Delete", "DeletionPolicy": "Delete"},
  "Group": {"Type": "AWS::ElasticLoadBalancingV2::TargetGroup"},
  "Listener": {
   "Type": "AWS::ElasticLoadBalancingV2::Listener",
   "Properties": {"DefaultActions": [{"TargetGroupArn": {"Ref": "Group"}, "Type": "forward"}]}
  },
  "CDKMetadata": {"Type": "AWS::CDK::Metadata", "Condition": "CDKMetadataAvailable"}
 },
 "Outputs": {"Url": {"Value": {"Fn::Join": ["", ["http://", {"Fn::GetAtt": ["Listener", "ListenerArn"]}]]}}},
 "Conditions": {
  "CDKMetadataAvailable": {"Fn::Or": [
   {"Fn::Or": [{"Fn::Equals": [{"Ref": "AWS::Region"}, "af-south-1"]}, {"Fn::Equals": [{"Ref": "AWS::Region"}, "a"]}]},
   {"Fn::Or": [{"Fn::Equals": [{"Ref": "AWS::Region"}, "eu-west-1"]}, {"Fn::Equals": [{"Ref": "AWS::Region"}, "b"]}]}
  ]}
 },
 "Parameters": {
  "BootstrapVersion": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk-bootstrap/hnb659fds/version"}
 },
 "Rules": {
  "CheckBootstrapVersion": {"Assertions": [{
   "Assert": {"Fn::Not": [{"Fn::Contains": [["1", "2", "3", "4", "5"], {"Ref": "BootstrapVersion"}]}]},
   "AssertDescription": "version 6 is required"
  }]}
 }
}
"""
