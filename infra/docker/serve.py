"""Runs the service that the image was built for; in its own process, so that SIGTERM reaches it."""

import os
import runpy

runpy.run_module(f"{os.environ['WAYBILL_SERVICE']}.main", run_name="__main__", alter_sys=True)
