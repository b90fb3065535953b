"""Mistakes in templates, with the exact errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Bad(NamedTuple):
    """A mistake: `written` replaces `right` in the good template. `error` is without the file's name."""

    mistake: str
    right: str
    written: str
    error: str
    parameters: Mapping[str, object] = {}


_SUPPORTED = (
    "Supported functions are: [Fn::Base64, Fn::GetAtt, Fn::GetAZs, Fn::ImportValue, Fn::Join, Fn::Split, "
    "Fn::FindInMap, Fn::Select, Ref, Fn::Equals, Fn::If, Fn::Not, Condition, Fn::And, Fn::Or, Fn::Contains, "
    "Fn::EachMemberEquals, Fn::EachMemberIn, Fn::ValueOf, Fn::ValueOfAll, Fn::RefAll, Fn::Sub, Fn::Cidr]"
)
_JOIN = (
    "Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of "
    "strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined."
)
_EXPORT = (
    "Template format error: Output Url is malformed. The Name field of every Export member must be specified "
    "and consist only of alphanumeric characters, colons, or hyphens."
)
_FIND = (
    "Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the "
    "attribute for return value"
)
_CIDR = (
    "Template error: every Fn::Cidr object requires two or three parameters, (1) a CIDR block, (2) the "
    "number of blocks to make, from 1 to 256, and (3) the number of bits of each block's addresses"
)
_SELECT = "Template error: Fn::Select requires a list argument with two elements: an integer index and a list"
_EQUALS = "Template error: every Fn::Equals object requires a list of 2 string parameters."
_CONDITIONS = "Cannot reference resources in the Conditions block of the template"
_LEFT_OUT = " (the condition of a resource does not hold; refer to it in Fn::If with the same condition)"

MISTAKES = [
    Bad(
        "an unknown section",
        "Mappings:",
        "Mapings:",
        "22:1: Mapings: Invalid template property or properties [Mapings]",
    ),
    Bad(
        "another version",
        "2010-09-09",
        "2010-09-10",
        "1:1: AWSTemplateFormatVersion: Template format error: 2010-09-10 is not a supported value for "
        "AWSTemplateFormatVersion. (write 2010-09-09)",
    ),
    Bad(
        "a description that is too long",
        "A web service",
        "x" * 1025,
        "2:1: Description: Template format error: 'Description' length is greater than 1024.",
    ),
    Bad(
        "a description that is a list",
        "A web service",
        "[a]",
        "2:1: Description: Template format error: [/Description] Every Description member must be a string.",
    ),
    Bad(
        "no resources",
        "Resources:\n  Web:",
        "Conditions2:\n  Web:",
        "35:1: Conditions2: Invalid template property or properties [Conditions2]",
    ),
    Bad(
        "a section that is a list",
        "Mappings:\n  Sizes:\n    test: {Count: 1}\n    prod: {Count: 3}",
        "Mappings: [a]",
        "22:1: Mappings: Template format error: [/Mappings] must be an object",
    ),
    Bad(
        "a null value",
        "Count: 1",
        "Count: ~",
        "24:12: Mappings.Sizes.test.Count: [/Mappings/Sizes/test/Count] 'null' values are not allowed in templates",
    ),
    Bad(
        "a null section",
        "Rules:\n  Ports:\n    RuleCondition: !Equals [!Ref Environment, prod]\n    Assertions:\n      - Assert: "
        '!Contains [["80", "443"], !Ref Port]\n        AssertDescription: production listens on 80 or 443',
        "Rules:",
        "29:1: Rules: [/Rules] 'null' values are not allowed in templates",
    ),
    Bad(
        "a key that is a number",
        "    test: {Count: 1}",
        "    123456789012: {Count: 1}",
        "24:5: Mappings.Sizes: Template format error: [/Mappings/Sizes] map keys must be strings; received "
        "numeric [123456789012] instead (write '123456789012')",
    ),
    Bad(
        "a key that is null",
        "    test: {Count: 1}",
        "    ~: {Count: 1}",
        "24:5: Mappings.Sizes: [/Mappings/Sizes] 'null' values are not allowed in templates",
    ),
    Bad(
        "a key that is a list",
        "    test: {Count: 1}",
        "    [a]: {Count: 1}",
        "24:5: Mappings.Sizes: Template format error: [/Mappings/Sizes] map keys must be strings; received a "
        "collection instead",
    ),
    Bad(
        "an alias",
        "    test: {Count: 1}\n    prod: {Count: 3}",
        "    test: &a {Count: 1}\n    prod: *a",
        "25:11: Template error: YAML aliases are not allowed in CloudFormation templates (write the value out)",
    ),
    Bad(
        "a merge key",
        "    test: {Count: 1}",
        "    <<: {test: {Count: 1}}",
        "24:5: Mappings.Sizes: Template format error: YAML merge keys are not supported (write it out)",
    ),
    Bad(
        "an unknown tag",
        "!Ref Group",
        "!Reff Group",
        "53:27: Resources.Listener.Properties.DefaultActions[0].TargetGroupArn: Template format error: YAML not "
        "well-formed. (line 53, column 27) (unsupported tag !Reff)",
    ),
    Bad(
        "a tag of YAML that is not supported",
        "!Ref Group",
        "!!binary aGk=",
        "53:27: Resources.Listener.Properties.DefaultActions[0].TargetGroupArn: Template format error: YAML not "
        "well-formed. (line 53, column 27) (unsupported tag !!binary)",
    ),
    Bad(
        "a mistake in YAML",
        "      Subnets: !Ref Subnets",
        "     Subnets: !Ref Subnets",
        "40:6: Template format error: YAML not well-formed. (line 40, column 6) (while parsing a block mapping "
        "expected <block end>, but found '<block mapping start>')",
    ),
    Bad(
        "a second document",
        "Mappings:",
        "---\nMappings:",
        "22:1: Template format error: YAML not well-formed. (line 22, column 1) (expected a single document in "
        "the stream but found another document)",
    ),
    Bad(
        "a transform",
        "Description: A",
        "Transform: AWS::Serverless-2016-10-31\nDescription: A",
        "2:1: Transform: Template error: Transform AWS::Serverless-2016-10-31 is not supported (apply it first, "
        "such as with `sam build` or `cdk synth`, and use the result)",
    ),
    Bad(
        "a macro",
        "Description: A",
        "Transform: [AWS::LanguageExtensions, {Name: AWS::Include}]\nDescription: A",
        "2:1: Transform: Template error: Transform AWS::Include is not supported (apply it first, such as with "
        "`sam build` or `cdk synth`, and use the result)",
    ),
    Bad(
        "a parameter without a type",
        "    Type: Number\n",
        "",
        "8:3: Parameters.Port: Template format error: Every Parameters object must contain a Type member.",
    ),
    Bad(
        "a parameter of an unknown type",
        "Type: Number",
        "Type: Integer",
        "9:5: Parameters.Port.Type: Template format error: Unrecognized parameter type: Integer",
    ),
    Bad(
        "an unknown key of a parameter",
        "MinValue: 1",
        "Minimum: 1",
        "11:5: Parameters.Port.Minimum: Invalid template parameter property 'Minimum' (allowed: AllowedPattern, "
        "AllowedValues, ConstraintDescription, Default, Description, MaxLength, MaxValue, MinLength, MinValue, "
        "NoEcho, Type)",
    ),
    Bad(
        "a parameter that is text",
        "  Environment:\n    Type: String\n    Default: test\n    AllowedValues: [test, prod]",
        "  Environment: String",
        "4:3: Parameters.Environment: Template format error: Any Parameters member must be an object.",
    ),
    Bad(
        "a parameter's name with a hyphen",
        "  Name:\n",
        "  Na-me:\n",
        "13:3: Parameters.Na-me: Template format error: Parameter name Na-me is non alphanumeric.",
    ),
    Bad(
        "allowed values that are no list",
        "[test, prod]",
        "test",
        "7:5: Parameters.Environment.AllowedValues: Template format error: Every AllowedValues member must be a list.",
    ),
    Bad(
        "an allowed value that is a map",
        "[test, prod]",
        "[test, {a: b}]",
        "7:5: Parameters.Environment.AllowedValues: Template format error: Every AllowedValues value must be a string.",
    ),
    Bad(
        "a default that is a list",
        "Default: 8080",
        "Default: [8080]",
        "10:5: Parameters.Port.Default: Template format error: Every Default member must be a string.",
    ),
    Bad(
        "a limit that is no number",
        "MinValue: 1",
        "MinValue: low",
        "11:5: Parameters.Port.MinValue: Template format error: Every MinValue member must be a number.",
    ),
    Bad(
        "a regular expression that is none",
        '"[a-z]+"',
        '"[a-z"',
        "16:5: Parameters.Name.AllowedPattern: Template format error: AllowedPattern is not a valid regular "
        "expression: unterminated character set at position 0",
    ),
    Bad(
        "a default below the minimum",
        "Default: 8080",
        "Default: 0",
        "8:3: Parameters.Port: Parameter 'Port' must be a number not less than 1",
    ),
    Bad(
        "a value that is not allowed",
        "Default: test",
        "Default: dev",
        "4:3: Parameters.Environment: Parameter 'Environment' must be one of AllowedValues",
    ),
    Bad(
        "a number that is text",
        "",
        "",
        "8:3: Parameters.Port: Parameter 'Port' must be a number",
        {"Port": "http"},
    ),
    Bad(
        "a number above the maximum",
        "",
        "",
        "8:3: Parameters.Port: Parameter 'Port' must be a number not greater than 65535",
        {"Port": "65536"},
    ),
    Bad(
        "a value that does not match the pattern",
        "",
        "",
        "13:3: Parameters.Name: Parameter 'Name' must match pattern [a-z]+",
        {"Name": "Shop"},
    ),
    Bad(
        "a value that is too short",
        "",
        "",
        "13:3: Parameters.Name: Parameter 'Name' must contain at least 2 characters",
        {"Name": "s"},
    ),
    Bad(
        "a value that is too long",
        "",
        "",
        "13:3: Parameters.Name: Parameter 'Name' must contain at most 10 characters",
        {"Name": "abcdefghijk"},
    ),
    Bad(
        "a value with a description of its constraint",
        "    MinLength: 2",
        "    MinLength: 2\n    ConstraintDescription: lower case letters",
        "13:3: Parameters.Name: Parameter 'Name' failed to satisfy constraint: lower case letters",
        {"Name": "Shop"},
    ),
    Bad(
        "a value of more than 4096 bytes",
        "",
        "",
        "19:3: Parameters.Subnets: Parameter 'Subnets' must be at most 4096 bytes long",
        {"Subnets": "x" * 4097},
    ),
    Bad(
        "a value for a parameter that is not declared",
        "",
        "",
        " Parameters: [Prot, Nmae] do not exist in the template",
        {"Prot": "80", "Nmae": "x"},
    ),
    Bad(
        "parameters without values",
        "    Default: test\n    AllowedValues: [test, prod]\n  Port:\n    Type: Number\n    Default: 8080\n",
        "  Port:\n    Type: Number\n",
        "4:3: Parameters.Environment: Parameters: [Environment, Port] must have values",
    ),
    Bad(
        "a parameter of SSM's store",
        "    Type: Number\n    Default: 8080\n",
        "    Type: AWS::SSM::Parameter::Value<String>\n    Default: /shop/port\n",
        "8:3: Parameters.Port: Unable to fetch parameters [/shop/port] from parameter store for this account. "
        "(`aws ssm put-parameter` makes them)",
    ),
    Bad(
        "a mapping that is text",
        "    test: {Count: 1}",
        "    test: one",
        "24:5: Mappings.Sizes.test: Template format error: Every Mappings member test must be a map",
    ),
    Bad(
        "a mapping with a third level",
        "{Count: 1}",
        "{Count: {a: 1}}",
        "24:12: Mappings.Sizes.test.Count: Template format error: Every Mappings attribute must be a String or a List.",
    ),
    Bad(
        "a function in a mapping",
        "{Count: 1}",
        "{Count: !Ref Port}",
        "24:12: Mappings.Sizes.test.Count: Template format error: Every Mappings attribute must be a String or a List.",
    ),
    Bad(
        "a mapping's key with a slash",
        "test: {Count: 1}",
        "te/st: {Count: 1}",
        "24:5: Mappings.Sizes.te/st: Template format error: Mappings attribute name 'te/st' must contain only "
        "alphanumeric characters.",
    ),
    Bad(
        "a condition that is text",
        "IsTest: !Not [!Condition IsProd]",
        "IsTest: IsProd",
        "28:3: Conditions.IsTest: Template format error: Conditions can only be boolean operations on parameters "
        "and other conditions",
    ),
    Bad(
        "a condition that is a value",
        "!Not [!Condition IsProd]",
        "!Ref Environment",
        "28:3: Conditions.IsTest: Template format error: Conditions can only be boolean operations on parameters "
        "and other conditions",
    ),
    Bad(
        "a condition that is not declared",
        "!Not [!Condition IsProd]",
        "!Not [!Condition IsProt]",
        "28:17: Conditions.IsTest.Fn::Not[0].Condition: Template format error: Unresolved condition dependency "
        "IsProt in the Conditions block of the template",
    ),
    Bad(
        "conditions that need each other",
        "IsProd: !Equals [!Ref Environment, prod]",
        "IsProd: !Not [!Condition IsTest]",
        "27:3: Conditions.IsProd: Template format error: Circular dependency between conditions: [IsProd, IsTest]",
    ),
    Bad(
        "a condition about a resource",
        "!Equals [!Ref Environment, prod]\n  IsTest",
        "!Equals [!Ref Web, prod]\n  IsTest",
        "27:20: Conditions.IsProd.Fn::Equals[0].Ref: Template format error: Unresolved dependencies [Web]. "
        f"{_CONDITIONS}",
    ),
    Bad(
        "a condition about an attribute",
        "!Equals [!Ref Environment, prod]\n  IsTest",
        '!Equals [!Sub "${Web.DNSName}", prod]\n  IsTest',
        "27:20: Conditions.IsProd.Fn::Equals[0].Fn::Sub: Template format error: Unresolved dependencies [Web]. "
        f"{_CONDITIONS}",
    ),
    Bad(
        "Fn::GetAtt in a condition",
        "!Equals [!Ref Environment, prod]\n  IsTest",
        "!Equals [!GetAtt Web.DNSName, prod]\n  IsTest",
        "27:20: Conditions.IsProd.Fn::Equals[0].Fn::GetAtt: Template error: Cannot use Fn::GetAtt in Conditions.",
    ),
    Bad(
        "an import in a condition",
        "!Equals [!Ref Environment, prod]\n  IsTest",
        "!Equals [!ImportValue 'net:Vpc', prod]\n  IsTest",
        "27:20: Conditions.IsProd.Fn::Equals[0].Fn::ImportValue: Template error: Cannot use Fn::ImportValue in "
        "Conditions.",
    ),
    Bad(
        "Fn::Equals with one value",
        "!Equals [!Ref Environment, prod]\n  IsTest",
        "!Equals [prod]\n  IsTest",
        f"27:11: Conditions.IsProd.Fn::Equals: {_EQUALS}",
    ),
    Bad(
        "Fn::Equals with a list",
        "!Equals [!Ref Environment, prod]\n  IsTest",
        "!Equals [!Ref Subnets, prod]\n  IsTest",
        f"27:11: Conditions.IsProd.Fn::Equals: {_EQUALS}",
    ),
    Bad(
        "Fn::Not with two conditions",
        "!Not [!Condition IsProd]",
        "!Not [!Condition IsProd, !Condition IsProd]",
        "28:11: Conditions.IsTest.Fn::Not: Template error: every Fn::Not object requires a list with exactly 1 "
        "boolean parameter.",
    ),
    Bad(
        "Fn::And with one condition",
        "!Not [!Condition IsProd]",
        "!And [!Condition IsProd]",
        "28:11: Conditions.IsTest.Fn::And: Template error: every Fn::And object requires a list of at least 2 "
        "and at most 10 boolean parameters.",
    ),
    Bad(
        "Fn::Or with text",
        "!Not [!Condition IsProd]",
        "!Or [!Condition IsProd, yes]",
        "28:35: Conditions.IsTest.Fn::Or[1]: Template error: every Fn::Or object requires a list of at least 2 "
        "and at most 10 boolean parameters.",
    ),
    Bad(
        "a rule without assertions",
        '    Assertions:\n      - Assert: !Contains [["80", "443"], !Ref Port]\n        AssertDescription: '
        "production listens on 80 or 443\n",
        "",
        "30:3: Rules.Ports: Template format error: Every Rules object must contain an Assertions member.",
    ),
    Bad(
        "a rule with another function",
        '!Contains [["80", "443"], !Ref Port]',
        '!Equals [!Sub "${Port}", 80]',
        "33:26: Rules.Ports.Assertions[0].Assert.Fn::Equals[0].Fn::Sub: Template error: Cannot use Fn::Sub in Rules.",
    ),
    Bad(
        "a rule about a resource",
        '!Contains [["80", "443"], !Ref Port]',
        "!Equals [!Ref Web, 80]",
        "33:26: Rules.Ports.Assertions[0].Assert.Fn::Equals[0].Ref: Template format error: Unresolved "
        "dependencies [Web]. Cannot reference resources in the Rules block of the template",
    ),
    Bad(
        "an assertion that does not hold",
        "",
        "",
        "33:9: Rules.Ports.Assertions[0].Assert: Rule Ports failed: production listens on 80 or 443",
        {"Environment": "prod"},
    ),
    Bad(
        "a resource without a type",
        "    Type: AWS::Logs::LogGroup\n",
        "",
        "54:3: Resources.Audit: Template format error: [/Resources/Audit] Every Resources object must contain a "
        "Type member.",
    ),
    Bad(
        "a resource that is text",
        "  Group:\n    Type: AWS::ElasticLoadBalancingV2::TargetGroup\n    Properties:\n      Port: !Ref Port\n",
        "  Group: AWS::ElasticLoadBalancingV2::TargetGroup\n",
        "41:3: Resources.Group: Template format error: Any Resources member must be an object.",
    ),
    Bad(
        "a resource's name with an underscore",
        "  Audit:",
        "  Audit_log:",
        "54:3: Resources.Audit_log: Template format error: Resource name Audit_log is non alphanumeric.",
    ),
    Bad(
        "an unknown key of a resource",
        "    DependsOn: Group",
        "    DependOn: Group",
        "47:5: Resources.Listener.DependOn: Invalid template resource property 'DependOn' (allowed: Condition, "
        "CreationPolicy, DeletionPolicy, DependsOn, Metadata, Properties, Type, UpdatePolicy, "
        "UpdateReplacePolicy, Version)",
    ),
    Bad(
        "properties that are a list",
        "    Properties:\n      Port: !Ref Port\n",
        "    Properties: [Port]\n",
        "43:5: Resources.Group.Properties: Template format error: [/Resources/Group/Properties] must be an object",
    ),
    Bad(
        "a function for all properties",
        "    Properties:\n      Port: !Ref Port\n",
        "    Properties: !If [IsProd, {Port: 80}, {Port: 81}]\n",
        "43:5: Resources.Group.Properties: Template error: Fn::If cannot be used for all Properties (use it for "
        "each property)",
    ),
    Bad(
        "a resource's condition that is not declared",
        "Condition: IsProd\n    Del",
        "Condition: IsProt\n    Del",
        "56:5: Resources.Audit.Condition: Template format error: Unresolved condition dependency IsProt in the "
        "Resources block of the template",
    ),
    Bad(
        "a resource's condition that is a function",
        "Condition: IsProd\n    Del",
        "Condition: !Equals [a, b]\n    Del",
        "56:5: Resources.Audit.Condition: Template format error: Every Condition member must be a string.",
    ),
    Bad(
        "an unknown policy",
        "DeletionPolicy: Retain",
        "DeletionPolicy: Keep",
        "57:5: Resources.Audit.DeletionPolicy: Template format error: Unrecognized DeletionPolicy Keep for "
        "resource Audit (allowed: Delete, Retain, RetainExceptOnCreate, Snapshot)",
    ),
    Bad(
        "a policy that is a function",
        "DeletionPolicy: Retain",
        "DeletionPolicy: !If [IsProd, Retain, Delete]",
        "57:5: Resources.Audit.DeletionPolicy: Template format error: Every DeletionPolicy member must be a string.",
    ),
    Bad(
        "a dependency on nothing",
        "DependsOn: Group",
        "DependsOn: [Group, Grupo]",
        "47:5: Resources.Listener.DependsOn: Template format error: Unresolved resource dependencies [Grupo] in "
        "the Resources block of the template",
    ),
    Bad(
        "a dependency that is a function",
        "DependsOn: Group",
        "DependsOn: !If [IsProd, Group, Web]",
        "47:5: Resources.Listener.DependsOn: Template format error: DependsOn must be a string or list of strings.",
    ),
    Bad(
        "dependencies with a function in them",
        "DependsOn: Group",
        "DependsOn: [!Ref Group]",
        "47:5: Resources.Listener.DependsOn: Template format error: Every DependsOn value must be a string.",
    ),
    Bad(
        "a dependency on a resource that is left out",
        "DependsOn: Group",
        "DependsOn: Audit",
        "47:5: Resources.Listener.DependsOn: Template format error: Unresolved resource dependencies [Audit] in "
        f"the Resources block of the template{_LEFT_OUT}",
    ),
    Bad(
        "references to nothing",
        "TargetGroupArn: !Ref Group",
        'TargetGroupArn: !Sub "${Grupo}-${Webb}"',
        "53:27: Resources.Listener.Properties.DefaultActions[0].TargetGroupArn.Fn::Sub: Template format error: "
        "Unresolved resource dependencies [Grupo, Webb] in the Resources block of the template",
    ),
    Bad(
        "a reference to a resource that is left out",
        "TargetGroupArn: !Ref Group",
        "TargetGroupArn: !Ref Audit",
        "53:27: Resources.Listener.Properties.DefaultActions[0].TargetGroupArn.Ref: Template format error: "
        f"Unresolved resource dependencies [Audit] in the Resources block of the template{_LEFT_OUT}",
    ),
    Bad(
        "a reference that is a list",
        "!Ref Group",
        "!Ref [Group]",
        "53:27: Resources.Listener.Properties.DefaultActions[0].TargetGroupArn.Ref: Template error: every Ref "
        "object must have a single String value.",
    ),
    Bad(
        "an attribute of nothing",
        "!Ref Group",
        "!GetAtt Grupo.Arn",
        "53:27: Resources.Listener.Properties.DefaultActions[0].TargetGroupArn.Fn::GetAtt: Template error: "
        "instance of Fn::GetAtt references undefined resource Grupo",
    ),
    Bad(
        "Fn::GetAtt without an attribute",
        "!Ref Group",
        "!GetAtt Group",
        "53:27: Resources.Listener.Properties.DefaultActions[0].TargetGroupArn.Fn::GetAtt: Template error: every "
        "Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute "
        "(write NAME.ATTRIBUTE)",
    ),
    Bad(
        "Fn::Sub with an attribute of nothing",
        '!Sub "${Name}-${AWS::Region}"',
        '!Sub "${Webb.DNSName}"',
        "39:13: Resources.Web.Properties.Name.Fn::Sub: Template error: instance of Fn::Sub references invalid "
        "resource attribute Webb.DNSName",
    ),
    Bad(
        "Fn::Sub with a shell's variable",
        '!Sub "${Name}-${AWS::Region}"',
        '!Sub "${Name:-shop}"',
        "39:13: Resources.Web.Properties.Name.Fn::Sub: Template error: variable names in Fn::Sub syntax must "
        "contain only alphanumeric characters, underscores, periods, and colons (${Name:-shop}: write ${!NAME} "
        "for a literal ${NAME})",
    ),
    Bad(
        "Fn::Sub without values",
        '!Sub "${Name}-${AWS::Region}"',
        '!Sub ["${Name}"]',
        "39:13: Resources.Web.Properties.Name.Fn::Sub: Template error: One or more Fn::Sub intrinsic functions "
        "don't specify expected arguments. Specify a string as first argument, and an optional second argument "
        "to specify a mapping of values to replace in the string",
    ),
    Bad(
        "Fn::Sub with a list",
        '!Sub "${Name}-${AWS::Region}"',
        '!Sub "${Subnets}"',
        "39:13: Resources.Web.Properties.Name.Fn::Sub: Template error: Fn::Sub expression does not resolve to a string",
    ),
    Bad(
        "Fn::Join with a text",
        '!Sub "${Name}-${AWS::Region}"',
        '!Join ["-", shop]',
        f"39:13: Resources.Web.Properties.Name.Fn::Join: {_JOIN}",
    ),
    Bad(
        "Fn::Join of what is no list",
        '!Sub "${Name}-${AWS::Region}"',
        '!Join ["-", !Ref Name]',
        f"39:13: Resources.Web.Properties.Name.Fn::Join: {_JOIN}",
    ),
    Bad(
        "Fn::Join with a list in the list",
        '!Sub "${Name}-${AWS::Region}"',
        '!Join ["-", [a, [b]]]',
        f"39:13: Resources.Web.Properties.Name.Fn::Join: {_JOIN}",
    ),
    Bad(
        "Fn::Split without a delimiter",
        '!Sub "${Name}-${AWS::Region}"',
        '!Split ["", "a-b"]',
        "39:13: Resources.Web.Properties.Name.Fn::Split: Template error: every Fn::Split object requires two "
        "parameters, (1) a string delimiter and (2) a string to be split or a function that returns a string to "
        "be split.",
    ),
    Bad(
        "Fn::Select past the end",
        '!Sub "${Name}-${AWS::Region}"',
        "!Select [2, !Ref Subnets]",
        "39:13: Resources.Web.Properties.Name.Fn::Select: Template error: Fn::Select cannot select nonexistent "
        "value at index 2",
    ),
    Bad(
        "Fn::Select with a word",
        '!Sub "${Name}-${AWS::Region}"',
        "!Select [first, !Ref Subnets]",
        f"39:13: Resources.Web.Properties.Name.Fn::Select: {_SELECT}",
    ),
    Bad(
        "Fn::Select of a text",
        '!Sub "${Name}-${AWS::Region}"',
        "!Select [0, !Ref Name]",
        f"39:13: Resources.Web.Properties.Name.Fn::Select: {_SELECT}",
    ),
    Bad(
        "Fn::FindInMap of a mapping that is not declared",
        '!Sub "${Name}-${AWS::Region}"',
        "!FindInMap [Size, test, Count]",
        "39:25: Resources.Web.Properties.Name.Fn::FindInMap[0]: Template error: Mapping named 'Size' is not "
        "present in the 'Mappings' section of template.",
    ),
    Bad(
        "Fn::FindInMap of a key that is not declared",
        '!Sub "${Name}-${AWS::Region}"',
        "!FindInMap [Sizes, !Ref Name, Count]",
        "39:13: Resources.Web.Properties.Name.Fn::FindInMap: Template error: Unable to get mapping for "
        "Sizes::shop::Count",
    ),
    Bad(
        "Fn::FindInMap with two keys",
        '!Sub "${Name}-${AWS::Region}"',
        "!FindInMap [Sizes, test]",
        f"39:13: Resources.Web.Properties.Name.Fn::FindInMap: {_FIND}",
    ),
    Bad(
        "Fn::FindInMap with a default",
        '!Sub "${Name}-${AWS::Region}"',
        "!FindInMap [Sizes, a, b, {DefaultValue: 1}]",
        f"39:13: Resources.Web.Properties.Name.Fn::FindInMap: {_FIND}"
        " (a default needs `Transform: AWS::LanguageExtensions`)",
    ),
    Bad(
        "Fn::FindInMap with Fn::Sub",
        '!Sub "${Name}-${AWS::Region}"',
        '!FindInMap [Sizes, !Sub "${Environment}", Count]',
        "39:32: Resources.Web.Properties.Name.Fn::FindInMap[1].Fn::Sub: Template error: Fn::Sub is not allowed "
        "here (allowed: Fn::FindInMap, Ref)",
    ),
    Bad(
        "Fn::Base64 of a list",
        '!Sub "${Name}-${AWS::Region}"',
        "!Base64 [a]",
        "39:13: Resources.Web.Properties.Name.Fn::Base64: Template error: every Fn::Base64 object must have a "
        "String-typed value.",
    ),
    Bad(
        "Fn::Cidr with one value",
        '!Sub "${Name}-${AWS::Region}"',
        "!Cidr [10.0.0.0/16]",
        f"39:13: Resources.Web.Properties.Name.Fn::Cidr: {_CIDR}",
    ),
    Bad(
        "Fn::Cidr with too many blocks",
        '!Sub "${Name}-${AWS::Region}"',
        "!Cidr [10.0.0.0/24, 9, 5]",
        "39:13: Resources.Web.Properties.Name.Fn::Cidr: Template error: Fn::Cidr cannot make 9 blocks of /27 in "
        "10.0.0.0/24",
    ),
    Bad(
        "Fn::Cidr of what is no block",
        '!Sub "${Name}-${AWS::Region}"',
        "!Cidr [10.0.0/16, 1, 8]",
        f"39:13: Resources.Web.Properties.Name.Fn::Cidr: {_CIDR}",
    ),
    Bad(
        "Fn::GetAZs of a list",
        '!Sub "${Name}-${AWS::Region}"',
        "!GetAZs [a]",
        "39:13: Resources.Web.Properties.Name.Fn::GetAZs: Template error: every Fn::GetAZs object must have a "
        "String-typed value.",
    ),
    Bad(
        "an import that does not exist",
        '!Sub "${Name}-${AWS::Region}"',
        "!ImportValue 'net:Vpcs'",
        "39:13: Resources.Web.Properties.Name.Fn::ImportValue: No export named net:Vpcs found.",
    ),
    Bad(
        "an import by a resource",
        '!Sub "${Name}-${AWS::Region}"',
        "!ImportValue {Ref: Group}",
        "39:13: Resources.Web.Properties.Name.Fn::ImportValue: Template error: the attribute in Fn::ImportValue "
        "must not depend on any resources, imported values, or Fn::GetAZs",
    ),
    Bad(
        "Fn::If with two values",
        '!Sub "${Name}-${AWS::Region}"',
        "!If [IsProd, a]",
        "39:13: Resources.Web.Properties.Name.Fn::If: Template error: Fn::If requires a list argument with three "
        "elements",
    ),
    Bad(
        "Fn::If with a condition in it",
        '!Sub "${Name}-${AWS::Region}"',
        "!If [!Equals [a, b], a, b]",
        "39:13: Resources.Web.Properties.Name.Fn::If: Template error: Fn::If requires a list argument with the "
        "first element being a condition",
    ),
    Bad(
        "Fn::If with a condition that is not declared",
        '!Sub "${Name}-${AWS::Region}"',
        "!If [IsProt, a, b]",
        "39:18: Resources.Web.Properties.Name.Fn::If[0]: Template error: unresolved condition dependency IsProt "
        "in Fn::If",
    ),
    Bad(
        "a condition's function in a property",
        '!Sub "${Name}-${AWS::Region}"',
        "!Equals [a, b]",
        "39:13: Resources.Web.Properties.Name.Fn::Equals: Template error: Fn::Equals cannot be partially "
        "collapsed (declare a condition, and use it in Fn::If)",
    ),
    Bad(
        "a rule's function in a property",
        '!Sub "${Name}-${AWS::Region}"',
        "!Contains [[a], b]",
        "39:13: Resources.Web.Properties.Name.Fn::Contains: Template error: Fn::Contains cannot be partially "
        "collapsed (use it in Rules)",
    ),
    Bad(
        "a function that needs a transform",
        '!Sub "${Name}-${AWS::Region}"',
        "!Length [a]",
        "39:13: Resources.Web.Properties.Name.Fn::Length: Template Error: Encountered unsupported function: "
        f"Fn::Length {_SUPPORTED} (add `Transform: AWS::LanguageExtensions`)",
    ),
    Bad(
        "Fn::ToJsonString without the transform",
        '!Sub "${Name}-${AWS::Region}"',
        "!ToJsonString {a: b}",
        "39:13: Resources.Web.Properties.Name.Fn::ToJsonString: Template Error: Encountered unsupported "
        f"function: Fn::ToJsonString {_SUPPORTED} (add `Transform: AWS::LanguageExtensions`)",
    ),
    Bad(
        "a function that does not exist",
        '!Sub "${Name}-${AWS::Region}"',
        "{'Fn::Concat': [a, b]}",
        "39:14: Resources.Web.Properties.Name.Fn::Concat: Template Error: Encountered unsupported function: "
        f"Fn::Concat {_SUPPORTED}",
    ),
    Bad(
        "a function's name in lower case",
        '!Sub "${Name}-${AWS::Region}"',
        "{'fn::sub': a}",
        "39:14: Resources.Web.Properties.Name.fn::sub: Template Error: Encountered unsupported function: fn::sub "
        f"{_SUPPORTED}",
    ),
    Bad(
        "a function that is not supported",
        '!Sub "${Name}-${AWS::Region}"',
        "!Transform {Name: AWS::Include}",
        "39:13: Resources.Web.Properties.Name.Fn::Transform: Template error: Fn::Transform is not supported "
        "(write its result out)",
    ),
    Bad(
        "a loop",
        "  Audit:",
        "  'Fn::ForEach::Loop': [a]\n  Audit:",
        "54:3: Resources.Fn::ForEach::Loop: Template error: Fn::ForEach is not supported (write its results out)",
    ),
    Bad(
        "a function with a second key",
        '!Sub "${Name}-${AWS::Region}"',
        "{'Fn::Sub': a, b: c}",
        "39:14: Resources.Web.Properties.Name.Fn::Sub: Template error: Fn::Sub must be the only key of its object",
    ),
    Bad(
        "a dynamic reference",
        '!Sub "${Name}-${AWS::Region}"',
        "'{{resolve:ssm:/shop/name}}'",
        "39:7: Resources.Web.Properties.Name: Parameters: [ssm:/shop/name] cannot be found. "
        "(`aws ssm put-parameter` makes it)",
    ),
    Bad(
        "an output without a value",
        "    Value: !Sub http://${Web.DNSName}/\n",
        "",
        "59:3: Outputs.Url: Template format error: Every Outputs member must contain a Value object",
    ),
    Bad(
        "an output that is a list",
        "!Sub http://${Web.DNSName}/",
        "!Ref Subnets",
        "61:12: Outputs.Url.Value.Ref: Template format error: Output Url is malformed. The Value field of every "
        "Outputs member must evaluate to a String.",
    ),
    Bad(
        "an output of nothing",
        "${Web.DNSName}",
        "${Webb}",
        "61:12: Outputs.Url.Value.Fn::Sub: Template format error: Unresolved resource dependencies [Webb] in the "
        "Outputs block of the template",
    ),
    Bad(
        "an output of a resource that is left out",
        "!Sub http://${Web.DNSName}/",
        "!Ref Audit",
        "61:12: Outputs.Url.Value.Ref: Template format error: Unresolved resource dependencies [Audit] in the "
        f"Outputs block of the template{_LEFT_OUT}",
    ),
    Bad(
        "an output's name with a hyphen",
        "  Url:",
        "  Web-Url:",
        "59:3: Outputs.Web-Url: Template format error: Outputs name 'Web-Url' is non alphanumeric.",
    ),
    Bad(
        "an output's condition that is not declared",
        "    Description: Address",
        "    Condition: IsProt\n    Description: Address",
        "60:5: Outputs.Url.Condition: Template format error: Unresolved condition dependency IsProt in the "
        "Outputs block of the template",
    ),
    Bad(
        "an export without a name",
        '      Name: !Sub "${AWS::StackName}:Url"\n',
        "      Value: a\n",
        f"62:5: Outputs.Url.Export: {_EXPORT}",
    ),
    Bad(
        "an export's name with a space",
        '"${AWS::StackName}:Url"',
        '"the Url"',
        f"63:13: Outputs.Url.Export.Name.Fn::Sub: {_EXPORT}",
    ),
    Bad(
        "an export's name by a resource",
        '"${AWS::StackName}:Url"',
        '"${Web}"',
        "63:7: Outputs.Url.Export.Name: The Name field of Export must not depend on any resources, imported "
        "values, or Fn::GetAZs.",
    ),
    Bad(
        "an export twice",
        "Outputs:\n",
        "Outputs:\n  Other: {Value: a, Export: {Name: 'shop:Url'}}\n",
        "63:5: Outputs.Url.Export: Template error: shop:Url is exported by several outputs",
    ),
    Bad(
        "a resource that needs itself",
        "Port: !Ref Port\n  Listener",
        "Port: !Ref Group\n  Listener",
        "41:3: Resources.Group: Circular dependency between resources: [Group]",
    ),
    Bad(
        "resources that need each other",
        "      Subnets: !Ref Subnets",
        "      Subnets: !Ref Listener",
        "36:3: Resources.Web: Circular dependency between resources: [Web, Listener]",
    ),
    Bad(
        "resources that need each other in one branch",
        "      Subnets: !Ref Subnets",
        "      Subnets: !If [IsTest, !GetAtt Listener.Arn, a]",
        "36:3: Resources.Web: Circular dependency between resources: [Web, Listener]",
    ),
]
