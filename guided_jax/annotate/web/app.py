"""The routes of the page: itself, images, the web socket, uploads, imports and exports."""

import asyncio
import contextlib
import functools
import json
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from guided_jax.annotate.files.exports import export
from guided_jax.annotate.files.imports import import_file, take_upload
from guided_jax.annotate.files.pictures import MOST_BYTES, THUMBNAIL, to_jpeg
from guided_jax.annotate.objects import COLOURS
from guided_jax.annotate.room import Room
from guided_jax.annotate.rooms import Rooms
from guided_jax.annotate.web.protocol import read_message

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

EVENTS = ("refused", "notice", "show")
"""Kinds of messages that are all sent; of any other only the newest one that waits."""


def make_app(rooms: Rooms, about: dict[str, Any]) -> Starlette:
    """The app, to be put behind a `guided_jax.annotate.web.security.Guard`.

    Args:
        rooms: of the tabs.
        about: what the page says of the server: `model`, its name.
    """
    page = _read_page()

    async def show_page(request: Request) -> Response:
        body, kind = page[request.url.path]
        return Response(body, media_type=kind, headers={"Cache-Control": "no-cache"})

    async def socket(websocket: WebSocket) -> None:
        await _serve(websocket, rooms, about)

    @_in_one_line
    async def show_image(request: Request) -> Response:
        """An image as JPEG; with `small` in its size of the strip."""
        room = rooms.find(request.query_params.get("session", ""))
        name, small = request.query_params.get("name", ""), "small" in request.query_params
        picture = room.gallery.find(name)
        body = await run_in_threadpool(lambda: to_jpeg(picture.read(), longest=THUMBNAIL if small else 0))
        return Response(body, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    @_in_one_line
    async def upload(request: Request) -> Response:
        """An image that comes to the others, in this session."""
        room, name = _room_and_name(request, rooms)
        body = await _read_body(request)
        return JSONResponse({"name": await run_in_threadpool(take_upload, room, body, name)})

    @_in_one_line
    async def take_file(request: Request) -> Response:
        """Annotations from a file: JSON of ours, of COCO, or a mask for one image."""
        room, name = _room_and_name(request, rooms)
        body, image = await _read_body(request), request.query_params.get("image", "")
        return JSONResponse({"message": await run_in_threadpool(import_file, room, body, name, image)})

    @_in_one_line
    async def give_file(request: Request) -> Response:
        """Masks or annotations as a file."""
        room = rooms.find(request.query_params.get("session", ""))
        made = await run_in_threadpool(export, room, request.path_params["kind"])
        named = {"Content-Disposition": f'attachment; filename="{made.name}"', "Cache-Control": "no-store"}
        return Response(made.body, media_type=made.type, headers=named)

    @asynccontextmanager
    async def lifespan(_: Starlette):
        yield
        await run_in_threadpool(rooms.close)

    routes = [
        *(Route(path, show_page) for path in page),
        WebSocketRoute("/socket", socket),
        Route("/image", show_image),
        Route("/upload", upload, methods=["POST"]),
        Route("/import", take_file, methods=["POST"]),
        Route("/export/{kind}", give_file),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def _read_page() -> dict[str, tuple[bytes, str]]:
    """The files of the page, content and type, by the path of their address. Nothing else can be asked for."""
    root, page = files("guided_jax.annotate") / "page", {}
    for folder, where in ((root, "/"), (root / "scripts", "/scripts/")):
        for file in folder.iterdir():
            kind = TYPES.get(f".{file.name.rpartition('.')[2]}")
            if kind and file.is_file():
                page[f"{where}{file.name}"] = (file.read_bytes(), kind)
    page["/"] = page.pop("/index.html")
    return page


class Outbox:
    """What waits to be sent: all events in their order, and of any other kind the newest message."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop, self._waiting = loop, OrderedDict[Any, Any]()
        self._number, self._there = 0, asyncio.Event()

    def put(self, kind: str, message: dict[str, Any] | bytes) -> None:
        """Adds a message; from any thread."""
        with contextlib.suppress(RuntimeError):  # the server is closed
            self._loop.call_soon_threadsafe(self._put, kind, message)

    async def take(self) -> list[dict[str, Any] | bytes]:
        """Waits for messages, and takes all that are there."""
        await self._there.wait()
        self._there.clear()
        taken, self._waiting = list(self._waiting.values()), OrderedDict()
        return taken

    def _put(self, kind: str, message: dict[str, Any] | bytes) -> None:
        self._number += 1
        self._waiting[(kind, self._number) if kind in EVENTS else kind] = message
        self._there.set()


async def _serve(websocket: WebSocket, rooms: Rooms, about: dict[str, Any]) -> None:
    """A tab's connection, from its greeting to its end."""
    await websocket.accept()
    loop = asyncio.get_running_loop()
    outbox, session, room = Outbox(loop), "", None

    def leave() -> None:
        loop.call_soon_threadsafe(lambda: loop.create_task(_close(websocket, 4001)))

    try:
        hello = read_message(await websocket.receive_text())
        asked, tab, new = hello.get("session"), hello.get("tab"), hello.get("new")
        if hello.get("type") != "hello" or not (isinstance(asked, str) and isinstance(tab, str) and len(tab) < 100):
            raise ValueError("the first message must be a greeting")
        session, room, how = await run_in_threadpool(functools.partial(rooms.enter, asked, tab, leave, new=new is True))
        names = [picture.name for picture in room.gallery.pictures]
        welcome = {
            "type": "welcome",
            "session": session,
            "how": how,
            "seq": room.seq,
            "names": names,
            "colours": COLOURS,
            **about,
        }
        await websocket.send_text(json.dumps({**welcome, "title": room.gallery.title, "clip": room.gallery.clip}))
        room.connect(outbox.put)
        sender = asyncio.create_task(_send_all(websocket, outbox))
        try:
            while True:
                room.receive(read_message(await websocket.receive_text()))
        finally:
            sender.cancel()
    except ValueError as error:
        await _close(websocket, 4000, str(error))
    except (WebSocketDisconnect, KeyError, RuntimeError):  # gone; or binary where text should be
        await _close(websocket, 4000)
    finally:
        if room:
            room.disconnect(outbox.put)
            rooms.leave(session, leave)


async def _send_all(websocket: WebSocket, outbox: Outbox) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # who receives is told, too
        while True:
            for message in await outbox.take():
                if isinstance(message, bytes):
                    await websocket.send_bytes(message)
                else:
                    await websocket.send_text(json.dumps(message))


async def _close(websocket: WebSocket, code: int, reason: str = "") -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it is closed already
        await websocket.close(code, reason.encode()[:120].decode(errors="ignore"))


def _room_and_name(request: Request, rooms: Rooms) -> tuple[Room, str]:
    name = request.query_params.get("name", "")
    if not name or len(name) > 200 or not name.isprintable() or re.search(r"[/\\]", name) or name.startswith("."):
        raise ValueError("the name of the file is none that can be kept")
    return rooms.find(request.query_params.get("session", "")), name


async def _read_body(request: Request) -> bytes:
    """The body of a request, refused where it is too long before all of it came."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise ValueError(f"the file has more than {MOST_BYTES >> 20} MB")
    return bytes(body)


def _in_one_line(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """What a handler refuses is answered by its one line."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ValueError as error:
            return JSONResponse({"message": str(error)}, 400)

    return answer
