"""Starts the gateway: `python -m payment_gateway.main`."""

import chassis
from payment_gateway.app import create_gateway
from payment_gateway.settings import Settings

settings = Settings()  # the environment fills it
app = create_gateway(settings)

if __name__ == "__main__":
    chassis.serve(app, settings)
