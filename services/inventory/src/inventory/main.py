"""Starts inventory: `python -m inventory.main`."""

import chassis
from contracts import ExpireReservation, ProductListed
from inventory.api import router
from inventory.handlers import processor
from inventory.settings import Settings
from inventory.sweeps import expiry

settings = Settings()  # the environment fills it
app = chassis.create_app(
    settings,
    processor=processor,
    routers=[router],
    publishes=[ProductListed, ExpireReservation],
    sweeps=[expiry(settings.reservation_ttl_s)],
)

if __name__ == "__main__":
    chassis.serve(app, settings)
