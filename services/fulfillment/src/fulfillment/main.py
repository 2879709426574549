"""Starts fulfillment: `python -m fulfillment.main`."""

import chassis
from fulfillment.handlers import processor
from fulfillment.settings import Settings

settings = Settings()  # the environment fills it
app = chassis.create_app(settings, processor=processor)

if __name__ == "__main__":
    chassis.serve(app, settings)
