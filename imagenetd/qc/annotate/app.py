"""The page's server: every route, who may call it, and nothing that a worker should not know."""

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from imagenetd.errors import StoreError
from imagenetd.qc.annotate import refusals
from imagenetd.qc.annotate.page import page_style, server_page, server_script
from imagenetd.qc.annotate.reading import read_json
from imagenetd.qc.annotate.refusals import Refusal
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.shield import Shield
from imagenetd.qc.annotate.tokens import Badge
from imagenetd.qc.annotate.worker_requests import Body, WorkerRequests

COOKIE = "imagenetd_session"
CSRF_HEADER = "x-csrf-token"
NO_STORE = {"cache-control": "no-store"}
PRIVATE_FOR_AN_HOUR = {"cache-control": "private, max-age=3600, immutable"}

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Access:
    """How the page may be reached."""

    hosts: Iterable[str]
    """Names by which the server may be called; another is a rebound DNS name or a misconfigured proxy."""
    address: str = ""
    """How workers reach the page, e.g. `https://pictures.example.org`, when a proxy stands before us."""
    session_s: float = 12 * 3600
    """A session ends after so long; the invitation opens another."""
    max_body_bytes: int = 16 * 1024

    @property
    def is_secure(self) -> bool:
        """Tell whether the page is reached through https; its cookie is then sent over nothing else."""
        return self.address.startswith("https://")


def make_app(
    room: Room,
    access: Access,
    *,
    on_sent: Callable[[str], None] = lambda worker: None,
    on_failure: Callable[[str], None] = lambda reason: None,
) -> Starlette:
    """Return the ASGI application for one votes folder.

    Args:
        room: The folder.
        access: How it may be reached.
        on_sent: Called with the worker's name after each sent task.
        on_failure: Called with the reason when a disk or database refuses; the worker is asked to try again.
    """

    def spoken(endpoint: Endpoint) -> Endpoint:
        return _spoken(endpoint, on_failure)

    door = _Door(room, access, on_sent)
    requests = door.requests
    routes = [
        Route("/", _fixed(server_page(), "text/html")),
        Route("/page.js", _fixed(server_script(), "text/javascript")),
        Route("/page.css", _fixed(page_style(), "text/css")),
        Route("/favicon.ico", _fixed("", "image/x-icon")),
        Route("/healthz", _fixed("ok\n", "text/plain")),
        Route("/i/{token}", spoken(door.invite)),
        Route("/api/session", spoken(door.session)),
        Route("/api/image/{name}", spoken(door.image)),
        Route("/api/examples", spoken(door.order(requests.examples)), methods=["POST"]),
        Route("/api/task", spoken(door.order(requests.task)), methods=["POST"]),
        Route("/api/answer", spoken(door.order(requests.answer)), methods=["POST"]),
        Route("/api/submit", spoken(door.order(requests.submit)), methods=["POST"]),
    ]
    shield = Middleware(
        Shield,
        address=access.address,
        max_body_bytes=access.max_body_bytes,
        is_secure=access.is_secure,
    )
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=_names(access.hosts), www_redirect=False)
    return Starlette(
        routes=routes, middleware=[shield, hosts], exception_handlers={HTTPException: _plain_error}
    )


def _names(hosts: Iterable[str]) -> list[str]:
    """Return the hosts as starlette compares them: up to the first colon, which leaves `[` of an IPv6 address.

    That lets in every address in brackets; they are no names, so that nobody can rebind one.
    """
    return sorted({"[" if ":" in host else host for host in hosts})


class _Door:
    """Who may come in; what is asked then goes to `requests`."""

    def __init__(self, room: Room, access: Access, on_sent: Callable[[str], None]) -> None:
        self._signer, self._access = room.signer, access
        self.requests = WorkerRequests(room, on_sent)

    async def invite(self, request: Request) -> Response:
        """Turn an invitation into a session."""
        badge = self._signer.badge("invitation", request.path_params["token"], now=time.time())
        if badge is None:
            raise refusals.bad_invitation()
        await run_in_threadpool(self.requests.enter, badge)
        ends = int(min(badge.expires, time.time() + self._access.session_s))
        session = self._signer.token("session", Badge(badge.worker, ends, secrets.token_urlsafe(16)))
        response = RedirectResponse("/", status_code=303, headers=NO_STORE)
        response.set_cookie(
            COOKIE,
            session,
            max_age=max(0, ends - int(time.time())),
            httponly=True,
            secure=self._access.is_secure,
            samesite="lax",  # strict would not be sent when the link is opened from a mail
        )
        return response

    async def session(self, request: Request) -> Response:
        """Say who is here, and hand out the token without which nothing can be changed."""
        badge = self._who(request)
        content = await run_in_threadpool(self.requests.session, badge)
        return JSONResponse({**content, "csrf": self._csrf(badge)}, headers=NO_STORE)

    async def image(self, request: Request) -> Response:
        """Send a picture of this session."""
        badge, name = self._who(request), request.path_params["name"]
        content = await run_in_threadpool(self.requests.image, badge, name)
        return Response(content, media_type="image/png", headers=PRIVATE_FOR_AN_HOUR)

    def order(self, act: Callable[[Badge, Body], Body]) -> Endpoint:
        """Return the endpoint of something that changes: only a request of our own page gets through."""

        async def ordered(request: Request) -> Response:
            badge = self._who(request)
            given = request.headers.get(CSRF_HEADER, "")
            if not secrets.compare_digest(given.encode(), self._csrf(badge).encode()):
                raise refusals.wrong_origin()
            body = await read_json(request, self._access.max_body_bytes)
            return JSONResponse(await run_in_threadpool(act, badge, body), headers=NO_STORE)

        return ordered

    def _who(self, request: Request) -> Badge:
        badge = self._signer.badge("session", request.cookies.get(COOKIE, ""), now=time.time())
        if badge is None:
            raise refusals.no_session()
        return badge

    def _csrf(self, badge: Badge) -> str:
        return self._signer.name("csrf", badge.worker, badge.session)


def _spoken(endpoint: Endpoint, on_failure: Callable[[str], None]) -> Endpoint:
    """Answer a refusal with its status and reason; what the disk refuses is one that the page tries again."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refusal as caught:
            refusal = caught
        except (OSError, StoreError, sqlite3.Error) as error:
            on_failure(" ".join(str(error).split()))
            refusal = refusals.not_kept()
        said = {"code": refusal.code, "message": refusal.message}
        return JSONResponse(said, status_code=refusal.status, headers=NO_STORE)

    return answered


def _fixed(content: str, media_type: str) -> Endpoint:
    """Send a text that never changes while the server runs."""
    body = content.encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'

    async def send(request: Request) -> Response:
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=media_type, headers=headers)

    return send


async def _plain_error(request: Request, error: Exception) -> Response:
    """Answer an unknown address or method without an echo of it."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"code": "unknown", "message": "There is nothing here."}, status_code=status)
