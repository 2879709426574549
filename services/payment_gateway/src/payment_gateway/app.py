"""The gateway as an application: its keys, its routes, and nothing of Kafka."""

from fastapi import APIRouter, FastAPI

import chassis
from payment_gateway.api import router
from payment_gateway.database import opened
from payment_gateway.keys import ApiKeys
from payment_gateway.settings import Settings


def create_gateway(settings: Settings) -> FastAPI:
    """Return the application; reads the API keys."""
    keys = ApiKeys.read(settings.gateway_keys_file)
    routes = APIRouter(lifespan=lambda app: opened(app, settings))
    routes.include_router(router)
    app = chassis.create_app(settings, routers=[routes])
    app.state.api_keys, app.state.silence_s = keys, settings.gateway_silence_s
    return app
