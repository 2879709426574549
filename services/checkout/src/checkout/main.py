"""Starts checkout: `python -m checkout.main`."""

import chassis
from checkout import api, reads
from checkout.handlers import processor
from checkout.keys import forget_keys
from checkout.prices import RememberedPrices
from checkout.queue import queues
from checkout.settings import Settings
from contracts import OrderCancelled, OrderPlaced

settings = Settings()  # the environment fills it
app = chassis.create_app(
    settings,
    processor=processor,
    routers=[api.router, reads.router],
    publishes=[OrderPlaced, OrderCancelled],
    prunes=[forget_keys],
    queues=queues(settings.orders_most_ahead),
    state={"prices": RememberedPrices()},
)

if __name__ == "__main__":
    chassis.serve(app, settings)
