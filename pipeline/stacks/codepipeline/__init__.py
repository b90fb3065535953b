"""The translation of a CodePipeline of AWS, from its CloudFormation template, into a pipeline.yaml. Pure."""
