"""Gateway load balancers: appliances that inspect every packet between networks."""
