"""How a service runs: settings, lifespan, health, logs, traces and problem answers."""

from chassis.app import create_app
from chassis.problems import Problem
from chassis.serving import serve
from chassis.settings import ServiceSettings

__all__ = ["Problem", "ServiceSettings", "create_app", "serve"]
