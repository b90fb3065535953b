"""CloudFormation's API over stacks: calls in, results in the shapes of botocore's model out."""
