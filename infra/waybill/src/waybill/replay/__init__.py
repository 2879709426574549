"""Real purchases, replayed through the shop."""
