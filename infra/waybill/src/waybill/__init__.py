"""The operator's tool: the local stack, provisioning, the audit, demo, replay and load."""
