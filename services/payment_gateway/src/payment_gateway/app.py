"""The gateway as an application: its keys, its routes, and nothing of Kafka."""

import chassis
from fastapi import FastAPI

from payment_gateway.api import router
from payment_gateway.keys import ApiKeys
from payment_gateway.settings import Settings


def create_gateway(settings: Settings) -> FastAPI:
    """Return the application; reads the API keys."""
    app = chassis.create_app(settings, routers=[router])
    app.state.api_keys = ApiKeys.read(settings.gateway_keys_file)
    app.state.silence_s = settings.gateway_silence_s
    return app
