"""What stands before every request: same origin, small bodies; and the headers of every answer."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Shield:
    """Refuses what did not come from our own page, before the application sees it.

    Args:
        app: The application.
        address: How workers reach the page, e.g. `https://pictures.example.org`; a proxy may call us by another host.
        max_body_bytes: Of a request.
        is_secure: The page is reached through https.
    """

    def __init__(self, app: ASGIApp, *, address: str, max_body_bytes: int, is_secure: bool) -> None:
        self._app, self._max_bytes, self._address = app, max_body_bytes, address
        headers = HEADERS | ({"strict-transport-security": "max-age=31536000"} if is_secure else {})
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0].decode().lower() not in HEADERS]
                message["headers"] = kept + self._headers
            await send(message)

        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if problem := self._problem(scope, given):
            await _refuse(send_with_headers, *problem)
            return
        await self._app(scope, receive, send_with_headers)

    def _problem(self, scope: Scope, given: dict[str, str]) -> tuple[int, str] | None:
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "method"
        length = given.get("content-length", "0")
        if not length.isdigit() or int(length) > self._max_bytes:
            return 413, "too_large"
        if scope["method"] != "POST":
            return None
        host, origin = given.get("host", ""), given.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}", self._address):
            return 403, "wrong_origin"
        if given.get("sec-fetch-site", "same-origin") != "same-origin":
            return 403, "wrong_origin"
        if given.get("content-type", "").partition(";")[0].strip() != "application/json":
            return 415, "content_type"
        return None


async def _refuse(send: Send, status: int, code: str) -> None:
    body = f'{{"code": "{code}", "message": "Refused: {code.replace("_", " ")}."}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
