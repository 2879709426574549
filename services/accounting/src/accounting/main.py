"""Starts accounting: `python -m accounting.main`."""

import chassis
from accounting.gateway import open_gateway
from accounting.handlers import processor
from accounting.settings import Settings

settings = Settings()  # the environment fills it
app = chassis.create_app(settings, processor=processor, resources=open_gateway)

if __name__ == "__main__":
    chassis.serve(app, settings)
