"""Changes what proves who somebody is, while everything runs: passwords and certificates."""
