"""Who may ask: checks of Host, Origin and token before anything else, and what the browser is told to forbid.

- *Host* must be a name of this machine, so that no page elsewhere reaches the server under a name of its own (DNS
  rebinding). An address in digits cannot be rebound.
- *Origin* of web sockets and of all that changes something must be the page's own; `Sec-Fetch-Site`, where a browser
  sends it, must not be another site's, but for the page itself.
- Where the server can be reached from elsewhere, each request needs the token: the first one brings it in the address,
  and a cookie keeps it.
"""

import hmac
import ipaddress
import socket
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "guided_jax_token"
LOOPBACK = ("localhost", "127.0.0.1", "::1")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer."""


def is_loopback(host: str) -> bool:
    """Whether a server bound to this is reached from its own machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Around an app: lets nothing through that was not asked for by its own page."""

    def __init__(self, app: ASGIApp, host: str, token: str = ""):
        """Guards an app.

        Args:
            app: is called with what may pass.
            host: that the server is bound to.
            token: that each request needs; empty: none.
        """
        self._app, self._token = app, token
        self._anywhere = not is_loopback(host)
        self._names = {*LOOPBACK, host, *([socket.gethostname()] if self._anywhere else [])}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on, or refuses."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        answer = self._refusal(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                given = {name.lower() for name, _ in message.get("headers", ())}
                more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                kept = [each for each in more if each[0] not in given]
                message = {**message, "headers": [*message.get("headers", ()), *kept]}
            await send(message)

        if answer is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: status 403
        else:
            await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host, socketed = headers.get("host", ""), scope["type"] == "websocket"
        reads = not socketed and scope["method"] in ("GET", "HEAD")
        if len(headers.getlist("host")) != 1 or not self._is_own(host):
            return PlainTextResponse("This server is not known by that name (Host).\n", 421)
        origin = headers.get("origin")
        if (origin is not None or not reads) and origin != f"{_scheme(scope)}://{host}":
            return PlainTextResponse("Another site may not ask here (Origin).\n", 403)
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not (reads and scope["path"] == "/"):
            return PlainTextResponse("Another site may not ask here (Sec-Fetch-Site).\n", 403)
        return self._check_token(scope, headers) if self._token else None

    def _check_token(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and given and self._is_token(given):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", path="/")
            return answer
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            morsel = None
        if morsel and self._is_token(morsel.value):
            return None
        return PlainTextResponse("Open the address with the token, as the server printed it.\n", 403)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _is_own(self, host: str) -> bool:
        """Whether a Host header, NAME or NAME:PORT, names this machine; the port may be another one, of a tunnel."""
        name, colon, port = host.rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host, ""
        if port and not port.isdecimal():
            return False
        name = name.removeprefix("[").removesuffix("]").lower()
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._anywhere


def _scheme(scope: Scope) -> str:
    return {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
