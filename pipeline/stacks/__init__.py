"""Stacks: infrastructure declared by CloudFormation templates."""
