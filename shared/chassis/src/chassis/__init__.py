"""How a service runs: settings, lifespan, health, logs, traces and problem answers."""

from chassis.app import create_app, serve
from chassis.problems import Problem
from chassis.settings import ServiceSettings

__all__ = ["Problem", "ServiceSettings", "create_app", "serve"]
