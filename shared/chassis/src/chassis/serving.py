"""A service as a process: it serves until it is told to stop, or may not go on."""

import socket

import uvicorn
from fastapi import FastAPI

from chassis import collecting, logs, tracing
from chassis.heads import BoundedHeads
from chassis.settings import ServiceSettings

STARTUP_FAILED = 3


def serve(app: FastAPI, settings: ServiceSettings) -> None:
    """Serve until SIGTERM; a stop takes five seconds at most. This process's logs and traces are set up here."""
    logs.configure(settings.log_level, settings.service, settings.instance)
    tracing.configure(settings.service, settings.instance)
    config = uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        loop="uvloop",
        http=BoundedHeads,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
        server_header=False,
        proxy_headers=False,  # nobody's address is asked for here
    )
    server = _Server(config)
    app.state.end = server.end
    server.run()
    if not server.started or server.ended:
        raise SystemExit(STARTUP_FAILED)


class _Server(uvicorn.Server):
    """Says that it stops before it waits for the requests under way: a stream would never end by itself."""

    ended = False

    def end(self) -> None:
        """Stop, since this service may not do its work."""
        self.ended = self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        collecting.settle()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app: FastAPI = self.config.app  # type: ignore[assignment]  # it was given one
        app.state.stopping.set()
        await super().shutdown(sockets)
