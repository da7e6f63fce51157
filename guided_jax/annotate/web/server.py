"""The server of the page: bound to this machine unless told otherwise, and then behind a token."""

import logging
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import uvicorn
from starlette.types import ASGIApp

from guided_jax.annotate.files.gallery import Gallery
from guided_jax.annotate.rooms import Rooms
from guided_jax.annotate.web.app import make_app
from guided_jax.annotate.web.protocol import MOST_MESSAGE
from guided_jax.annotate.web.security import Guard, is_loopback
from guided_jax.session import Session

BACKLOG = 64
PATIENCE = 3
"""Seconds that open requests have when the server is told to end."""


class Served(NamedTuple):
    """What is served, and where.

    Attributes:
        app: the page behind its guard.
        address: to open in a browser; with the token, where one is needed.
    """

    app: ASGIApp
    address: str


def make_server(gallery: Gallery, base: Session, folder: Path, *, model: str, host: str, port: int) -> Served:
    """Puts a page together.

    Args:
        gallery: the images.
        base: a session without images.
        folder: where the sessions of tabs are kept; is made when the first tab comes.
        model: what the page calls the model.
        host: address to bind to.
        port: to bind to.
    """
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    app = Guard(make_app(Rooms(folder, base, gallery), {"model": model}), host, token)
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return Served(app, f"http://{shown}:{port}/{f'?token={token}' if token else ''}")


def bind(host: str, port: int) -> socket.socket:
    """Binds to a port; 0 is a free one.

    Raises:
        OSError: the port is taken, or the host is not this machine's.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(BACKLOG)  # whoever comes before the server has started waits
    except OSError:
        bound.close()
        raise
    return bound


@contextmanager
def in_thread(app: ASGIApp, bound: socket.socket) -> Iterator[None]:
    """Within, an app is served at a bound socket, which is closed at the end."""
    server = uvicorn_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def uvicorn_server(app: ASGIApp) -> uvicorn.Server:
    """A server for `run(sockets=[bind(...)])`."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=MOST_MESSAGE,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=PATIENCE,
    )
    return uvicorn.Server(config)
