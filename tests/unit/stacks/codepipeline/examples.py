"""Templates of the shape Source → CodeBuild → ECS, from each kind of source."""

from __future__ import annotations

GITHUB = """\
AWSTemplateFormatVersion: 2010-09-09
Parameters:
  Owner: {Type: String}
  Token: {Type: String, NoEcho: true, Default: "{{resolve:secretsmanager:github:SecretString:token}}"}
  Stage: {Type: String, AllowedValues: [staging, production]}
Conditions:
  InProduction: !Equals [!Ref Stage, production]
Rules:
  Never:
    Assertions: [{Assert: !Equals [a, b]}]
Resources:
  Repository: {Type: AWS::ECR::Repository}
  Builder:
    Type: AWS::CodeBuild::Project
    Properties:
      Source:
        Type: CODEPIPELINE
        BuildSpec: |
          version: 0.2
          env:
            variables: {PYTHON: "3.12"}
            parameter-store: {NPM_TOKEN: /npm}
          phases:
            install:
              commands: [pip install awscli, npm ci]
            pre_build:
              commands:
                - echo Logging in
                - aws ecr get-login-password | docker login --username AWS --password-stdin $REPOSITORY
                - TAG=$(echo $CODEBUILD_RESOLVED_SOURCE_VERSION | head -c 8)
            build:
              commands:
                - cd services/shop
                - >-
                  docker build -t $REPOSITORY:$TAG --build-arg PYTHON=$PYTHON --build-arg TAG=$TAG
                  -f docker/Dockerfile --target app .
                - docker run --rm -e CI=1 $REPOSITORY:$TAG python -m pytest -q
            post_build:
              commands:
                - docker push $REPOSITORY:$TAG
                - printf '[{"name":"shop","imageUri":"%s"}]' $REPOSITORY:$TAG > imagedefinitions.json
          artifacts: {files: imagedefinitions.json}
      Environment:
        EnvironmentVariables:
          - {Name: REPOSITORY, Value: !Ref Repository}
          - {Name: DOCKER_PASSWORD, Type: SECRETS_MANAGER, Value: docker}
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: shop
      Cpu: "512"
      Memory: 1GB
      ContainerDefinitions:
        - Name: shop
          Image: !Ref Repository
          PortMappings: [{ContainerPort: 5000}]
          Environment:
            - {Name: STAGE, Value: !Ref Stage}
            - {Name: PATTERN, Value: "${name}"}
          Secrets: [{Name: DATABASE_PASSWORD, ValueFrom: "arn:aws:ssm:eu-west-1:000000000000:parameter/db"}]
          Command: [gunicorn, "app:app"]
          EntryPoint: [/entry]
          StopTimeout: 45
          LogConfiguration: {LogDriver: awslogs}
  Service:
    Type: AWS::ECS::Service
    Properties:
      TaskDefinition: !Ref Task
      DesiredCount: !If [InProduction, 4, 2]
      HealthCheckGracePeriodSeconds: 90
      DeploymentConfiguration:
        {MaximumPercent: 150, MinimumHealthyPercent: 75, DeploymentCircuitBreaker: {Enable: true, Rollback: true}}
      LoadBalancers:
        - {ContainerName: shop, ContainerPort: 5000, TargetGroupArn: !Ref ShopTargets}
  ShopTargets:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      Port: 80
      Protocol: HTTP
      HealthCheckPath: /healthz
      HealthCheckIntervalSeconds: 10
      HealthCheckTimeoutSeconds: 5
      HealthyThresholdCount: 2
      UnhealthyThresholdCount: 3
      Matcher: {HttpCode: 200-299}
      TargetGroupAttributes:
        - {Key: deregistration_delay.timeout_seconds, Value: "20"}
        - {Key: stickiness.enabled, Value: "true"}
        - {Key: stickiness.lb_cookie.duration_seconds, Value: "600"}
        - {Key: proxy_protocol_v2.enabled, Value: "false"}
  Public:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
  Http:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Public
      Port: 8080
      Protocol: HTTP
      DefaultActions:
        - {Type: redirect, RedirectConfig: {Protocol: HTTPS, Port: "8443", StatusCode: HTTP_301}}
  Https:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Public
      Port: 8443
      Protocol: HTTPS
      Certificates: [{CertificateArn: arn}]
      DefaultActions: [{Type: forward, TargetGroupArn: !Ref ShopTargets}]
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: !Sub "${AWS::StackName}-Shop"
      Stages:
        - Name: Source
          Actions:
            - Name: App
              ActionTypeId: {Category: Source, Owner: ThirdParty, Version: 1, Provider: GitHub}
              Configuration: {Owner: !Ref Owner, Repo: shop, Branch: trunk, OAuthToken: !Ref Token}
        - Name: Build
          Actions:
            - Name: Image
              ActionTypeId: {Category: Build, Owner: AWS, Version: 1, Provider: CodeBuild}
              Configuration: {ProjectName: !Ref Builder}
        - Name: Deploy
          Actions:
            - Name: Confirm
              ActionTypeId: {Category: Approval, Owner: AWS, Version: 1, Provider: Manual}
              RunOrder: 1
            - Name: Roll
              ActionTypeId: {Category: Deploy, Owner: AWS, Version: 1, Provider: ECS}
              Configuration: {ClusterName: main, ServiceName: !GetAtt Service.Name}
              RunOrder: 2
            - Name: Tell
              ActionTypeId: {Category: Invoke, Owner: AWS, Version: 1, Provider: Lambda}
              RunOrder: 3
  Hook:
    Type: AWS::CodePipeline::Webhook
    Properties: {TargetPipeline: !Ref Pipeline}
Outputs:
  Name: {Value: !Ref Owner, Export: {Name: !Ref Owner}}
"""

CONNECTION = """\
Resources:
  Connection:
    Type: AWS::CodeStarConnections::Connection
    Properties: {ConnectionName: forge, ProviderType: GitLab}
  Build:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: api-build
      Source: {Type: CODEPIPELINE, BuildSpec: deploy/buildspec.yml}
  Service:
    Type: AWS::ECS::Service
    Properties:
      ServiceName: api
      TaskDefinition: !Ref Task
      LoadBalancers: [{ContainerName: api, ContainerPort: 3000, TargetGroupArn: !Ref Targets}]
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Cpu: 1 vCPU
      Memory: "2048"
      ContainerDefinitions:
        - {Name: proxy, Image: nginx, Cpu: 128}
        - {Name: api, Image: api, Memory: 256, Cpu: 512, Ulimits: [{Name: nofile}]}
  Targets:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties: {Port: 3000, Protocol: HTTP}
  Others:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties: {Port: 4000, Protocol: HTTP}
  Balancer: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer}
  Listener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Balancer
      Port: 8000
      DefaultActions: [{Type: forward, TargetGroupArn: !Ref Others}]
  Rule:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: !Ref Listener
      Priority: 10
      Conditions:
        - {Field: path-pattern, Values: ["/api/*"]}
        - {Field: host-header, HostHeaderConfig: {Values: [example.com]}}
      Actions:
        - Type: forward
          ForwardConfig: {TargetGroups: [{TargetGroupArn: !Ref Targets, Weight: 1}]}
  ByMethod:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: !Ref Listener
      Priority: 20
      Conditions: [{Field: http-request-method, HttpRequestMethodConfig: {Values: [GET]}}]
      Actions: [{Type: forward, TargetGroupArn: !Ref Targets}]
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      PipelineType: V2
      ExecutionMode: QUEUED
      Triggers:
        - ProviderType: CodeStarSourceConnection
          GitConfiguration:
            SourceActionName: Source
            Push:
              - Branches: {Includes: [main, "release/*"], Excludes: [release/0]}
                FilePaths: {Includes: ["api/**"]}
              - Tags: {Includes: ["v*"]}
            PullRequest: [{Events: [OPEN]}]
      Stages:
        - Name: Source
          Actions:
            - Name: Source
              ActionTypeId: {Category: Source, Owner: AWS, Version: "1", Provider: CodeStarSourceConnection}
              Configuration: {ConnectionArn: !Ref Connection, FullRepositoryId: team/api, BranchName: main}
        - Name: Build
          Actions:
            - Name: Build
              ActionTypeId: {Category: Build, Owner: AWS, Version: "1", Provider: CodeBuild}
              Configuration: {ProjectName: api-build}
        - Name: Deploy
          Actions:
            - Name: Deploy
              ActionTypeId: {Category: Deploy, Owner: AWS, Version: "1", Provider: ECS}
              Configuration: {ClusterName: main, ServiceName: api}
"""

# The pipeline alone, in JSON. Its service is in another template.
CODECOMMIT = """\
{
  "Parameters": {
    "Service": {"Type": "String"},
    "Hub": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/hub"}
  },
  "Resources": {
    "Build": {
      "Type": "AWS::CodeBuild::Project",
      "Properties": {
        "Source": {
          "Type": "CODEPIPELINE",
          "BuildSpec": {"Fn::Sub": "{\\"version\\": 0.2, \\"phases\\": {\\"build\\": {\\"commands\\": \
\\"docker buildx build --platform=linux/amd64 --network host --load app\\"}}}"}
        }
      }
    },
    "Delivery": {
      "Type": "AWS::CodePipeline::Pipeline",
      "Properties": {
        "Name": {"Ref": "Hub"},
        "Stages": [
          {"Name": "Source", "Actions": [{
            "Name": "Source",
            "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Version": "1", "Provider": "CodeCommit"},
            "Configuration": {"RepositoryName": "shop", "BranchName": "main"}
          }]},
          {"Name": "Build", "Actions": [{
            "Name": "Build",
            "ActionTypeId": {"Category": "Build", "Owner": "AWS", "Version": "1", "Provider": "CodeBuild"},
            "Configuration": {"ProjectName": {"Ref": "Build"}}
          }]},
          {"Name": "Deploy", "Actions": [{
            "Name": "Deploy",
            "ActionTypeId": {"Category": "Deploy", "Owner": "AWS", "Version": "1", "Provider": "ECS"},
            "Configuration": {"ClusterName": "main", "ServiceName": {"Ref": "Service"}}
          }]}
        ]
      }
    }
  }
}
"""
SERVICE = """\
Parameters: {Cluster: {Type: String}}
Resources:
  App:
    Type: AWS::ECS::Service
    Properties:
      Cluster: !Ref Cluster
      DesiredCount: 0
      DeploymentConfiguration: {MaximumPercent: 100, MinimumHealthyPercent: 100}
      TaskDefinition: !Ref Definition
      LoadBalancers: [{ContainerName: app, ContainerPort: 9000, TargetGroupArn: !ImportValue targets}]
  Definition:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Volumes: [{Name: data}]
      ContainerDefinitions: [{Name: app, Image: app, Memory: 512}]
"""

BLUE_GREEN = """\
Resources:
  Build: {Type: AWS::CodeBuild::Project}
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      ExecutionMode: PARALLEL
      Stages:
        - Name: Source
          Actions:
            - Name: Package
              ActionTypeId: {Category: Source, Owner: AWS, Version: "1", Provider: S3}
              Configuration: {S3Bucket: packages, S3ObjectKey: app.zip}
        - Name: Test
          Actions:
            - Name: Unit
              ActionTypeId: {Category: Test, Owner: AWS, Version: "1", Provider: CodeBuild}
              Configuration: {ProjectName: elsewhere}
            - Name: Build
              ActionTypeId: {Category: Build, Owner: AWS, Version: "1", Provider: CodeBuild}
              Configuration: {ProjectName: !Ref Build}
        - Name: Deploy
          Actions:
            - Name: Shift
              ActionTypeId: {Category: Deploy, Owner: AWS, Version: "1", Provider: CodeDeployToECS}
              Configuration: {ApplicationName: app, DeploymentGroupName: group}
"""
