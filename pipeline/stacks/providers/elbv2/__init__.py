"""The resource types of `AWS::ElasticLoadBalancingV2`. They call the operations of the ELBv2 API."""
