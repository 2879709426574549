"""How a service runs: settings, lifespan, health, logs, traces and problem answers."""
