"""Starts the letters' service: `python -m letters.main`."""

import chassis
from letters.app import create_letters
from letters.settings import Settings

settings = Settings()  # the environment fills it
app = create_letters(settings)

if __name__ == "__main__":
    chassis.serve(app, settings)
