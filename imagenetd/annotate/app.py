"""The page's server: every route, who may call it, and nothing that a worker should not know."""

import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from imagenetd.annotate import refusals
from imagenetd.annotate.page import Page
from imagenetd.annotate.reading import read_answer, read_json
from imagenetd.annotate.refusals import Refusal
from imagenetd.annotate.room import Room, media_type
from imagenetd.annotate.shield import Shield
from imagenetd.annotate.tokens import Badge
from imagenetd.qc.tasks import Answer, Task

COOKIE = "imagenetd_session"
CSRF_HEADER = "x-csrf-token"
NO_STORE = {"cache-control": "no-store"}
PRIVATE_FOR_AN_HOUR = {"cache-control": "private, max-age=3600, immutable"}

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Access:
    """How the page may be reached."""

    hosts: Iterable[str]
    """Names by which the server may be called."""
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
    room: Room, access: Access, *, on_sent: Callable[[str], None] = lambda worker: None
) -> Starlette:
    """Return the ASGI application for one votes folder.

    Args:
        room: The folder.
        access: How it may be reached.
        on_sent: Called with the worker's name after each sent task.
    """
    desk = _Counter(room, access, on_sent)
    page = Page()
    routes = [
        Route("/", _fixed(page.html(), "text/html")),
        Route("/page.js", _fixed(page.script(), "text/javascript")),
        Route("/page.css", _fixed(page.style(), "text/css")),
        Route("/favicon.ico", _fixed("", "image/x-icon")),
        Route("/healthz", _fixed("ok\n", "text/plain")),
        Route("/i/{token}", _spoken(desk.invite)),
        Route("/api/session", _spoken(desk.session)),
        Route("/api/image/{name}", _spoken(desk.image)),
        Route("/api/examples", _spoken(desk.examples), methods=["POST"]),
        Route("/api/task", _spoken(desk.task), methods=["POST"]),
        Route("/api/answer", _spoken(desk.answer), methods=["POST"]),
        Route("/api/submit", _spoken(desk.submit), methods=["POST"]),
    ]
    shield = Middleware(
        Shield,
        hosts=access.hosts,
        address=access.address,
        max_body_bytes=access.max_body_bytes,
        is_secure=access.is_secure,
    )
    return Starlette(routes=routes, middleware=[shield], exception_handlers={HTTPException: _plain_error})


class _Counter:
    """The counter at which a worker is served."""

    def __init__(self, room: Room, access: Access, on_sent: Callable[[str], None]) -> None:
        self._room, self._access, self._on_sent = room, access, on_sent

    async def invite(self, request: Request) -> Response:
        """Turn an invitation into a session."""
        badge = self._room.signer.badge("invitation", request.path_params["token"], now=time.time())
        if badge is None:
            raise refusals.bad_invitation()
        await run_in_threadpool(self._room.workers.enter, badge.worker)
        ends = int(min(badge.expires, time.time() + self._access.session_s))
        session = self._room.signer.token("session", Badge(badge.worker, ends, secrets.token_urlsafe(16)))
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
        """Say who is here, how far the work is, and show the training examples with their right answers."""
        badge = await self._who(request)
        trained = await run_in_threadpool(self._room.workers.is_trained, badge.worker)
        num_sent = await run_in_threadpool(self._room.desk.num_sent_by, badge.worker)
        settings = self._room.task_set.settings
        examples = [
            {
                "image": f"/api/image/{self._room.example_name(badge, number)}",
                "category": settings.display[one.category],
                "answer": {"can_recognise": one.can_recognise, "can_use": one.can_use},
                "reason": one.reason,
            }
            for number, one in enumerate(settings.training)
        ]
        return JSONResponse(
            {
                "worker": badge.worker,
                "csrf": self._csrf(badge),
                "examples": examples,
                "trained": trained,
                "num_sent": num_sent,
            },
            headers=NO_STORE,
        )

    async def image(self, request: Request) -> Response:
        """Send a picture of this session."""
        badge = await self._who(request)
        content = await run_in_threadpool(self._room.image, badge, request.path_params["name"])
        return Response(content, media_type=media_type(content), headers=PRIVATE_FOR_AN_HOUR)

    async def examples(self, request: Request) -> Response:
        """Remember that the worker has seen the examples."""
        badge, _ = await self._ordered(request)
        await run_in_threadpool(self._room.workers.finish_examples, badge.worker)
        return JSONResponse({}, headers=NO_STORE)

    async def task(self, request: Request) -> Response:
        """Give the worker the task that it is to do now, with what it has said of it so far."""
        badge, _ = await self._ordered(request)
        task = await run_in_threadpool(self._room.next_task, badge.worker)
        content: dict[str, Any] = {"task": None}
        if task is not None:
            answers = await run_in_threadpool(self._room.desk.answers, task.task_id, badge.worker)
            content["task"] = self._room.task_name(badge.worker, task.task_id)
            content["slots"] = [
                {
                    "image": f"/api/image/{shown.image}",
                    "category": shown.category,
                    "answer": _said(answers.get(position)),
                }
                for position, shown in enumerate(self._room.shown(badge, task))
            ]
        return JSONResponse(content, headers=NO_STORE)

    async def answer(self, request: Request) -> Response:
        """Keep one answer."""
        badge, body = await self._ordered(request)
        task = await self._task_of(badge, body)
        await run_in_threadpool(self._room.desk.save, task.task_id, badge.worker, read_answer(body))
        return JSONResponse({}, headers=NO_STORE)

    async def submit(self, request: Request) -> Response:
        """Close a task; once. What all together still have to do is not told: it would show who failed a sentinel."""
        badge, body = await self._ordered(request)
        task = await self._task_of(badge, body)
        await run_in_threadpool(self._room.submit, task, badge.worker)
        self._on_sent(badge.worker)
        num_sent = await run_in_threadpool(self._room.desk.num_sent_by, badge.worker)
        return JSONResponse({"num_sent": num_sent}, headers=NO_STORE)

    async def _who(self, request: Request) -> Badge:
        token = request.cookies.get(COOKIE, "")
        badge = self._room.signer.badge("session", token, now=time.time())
        if badge is None:
            raise refusals.no_session()
        await run_in_threadpool(self._room.workers.enter, badge.worker)
        return badge

    def _csrf(self, badge: Badge) -> str:
        return self._room.signer.name("csrf", badge.worker, badge.session)

    async def _ordered(self, request: Request) -> tuple[Badge, dict[str, Any]]:
        """Check that a request that changes something comes from our page, and return who sent what."""
        badge = await self._who(request)
        given = request.headers.get(CSRF_HEADER, "")
        if not secrets.compare_digest(given.encode(), self._csrf(badge).encode()):
            raise refusals.wrong_origin()
        return badge, await read_json(request, self._access.max_body_bytes)

    async def _task_of(self, badge: Badge, body: dict[str, Any]) -> Task:
        name = body.get("task")
        if not isinstance(name, str):
            raise refusals.malformed("task is missing")
        return await run_in_threadpool(self._room.find_task, badge.worker, name)


def _said(answer: Answer | None) -> dict[str, bool] | None:
    return None if answer is None else {"can_recognise": answer.can_recognise, "can_use": answer.can_use}


def _spoken(endpoint: Endpoint) -> Endpoint:
    """Answer a refusal with its status and reason."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refusal as refusal:
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
