"""The HTTP application: every request passes the entrance, and a chat completion the desk behind it.

    entrance   host, key, request id, errors in OpenAI's form, one line of log, figures
    desk       body, limits, the answer whole or as server-sent events; gives up when the client has gone

A prompt is rendered and read by the model's family; with `--vllm-url` bodies go on to that server as they are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coalm.serving.exchange import Exchange, late, send_json
from coalm.serving.protocol import ApiError, new_id, read_ask, read_body
from coalm.serving.service import Limits, Service
from coalm.serving.stream import make_task

CHAT = "/v1/chat/completions"
KNOWN = frozenset({CHAT, "/v1/models", "/health", "/metrics"})
HEADER_BYTES, MOST_HEADERS = 16 << 10, 100


def create_app(service: Service, routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The application; `routes` are more of them (a page), behind the same entrance."""
    middleware = [Middleware(Entrance, service=service)]
    if service.origins:
        allowed: Any = {"allow_origins": list(service.origins), "allow_methods": ["GET", "POST"]}
        cors = Middleware(CORSMiddleware, **allowed, allow_headers=["authorization", "content-type"])
        middleware.insert(0, cors)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def models(request: Request) -> Response:
        row = {"id": service.name, "object": "model", "created": service.started, "owned_by": "coalm"}
        return JSONResponse({"object": "list", "data": [row]})

    async def metrics(request: Request) -> Response:
        return Response(service.figures.text(), media_type=service.figures.content_type)

    own = [
        Route(CHAT, Desk(service), methods=["POST"]),
        Route("/v1/models", models),
        Route("/health", health),
        Route("/metrics", metrics),
    ]
    errors = {HTTPException: _tell_status}
    # Starlette types a handler's second argument as any Exception; ours is told HTTPExceptions only.
    return Starlette(routes=[*own, *routes], middleware=middleware, exception_handlers=errors)  # type: ignore[arg-type]


async def _tell_status(request: Request, error: HTTPException) -> Response:
    """404 and 405 in OpenAI's form."""
    told = ApiError(error.status_code, error.detail, code=error.detail.lower().replace(" ", "_"))
    return JSONResponse(told.body, error.status_code, headers=error.headers)


class Entrance:
    """Lets requests in, and makes errors, headers and the log line alike for all of them."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        since = time.perf_counter()
        record: dict[str, Any] = {"id": new_id("req_"), "method": scope["method"], "path": scope["path"][:200]}
        scope["record"] = record
        identity = (b"x-request-id", record["id"].encode())

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                record["status"] = message["status"]
                message = {**message, "headers": [*message.get("headers", []), identity]}
            await send(message)

        try:
            self._admit(scope, record)
            await self._app(scope, receive, answer)
        except ApiError as error:
            if "status" not in record:
                await self._refuse(error, record, answer)
        except Exception as error:
            record["error"] = repr(error)
            if "status" not in record:
                fault = ApiError(500, "the server failed; its log says why", kind="server_error")
                await self._refuse(fault, record, answer)
        finally:
            seconds = time.perf_counter() - since
            path = record["path"] if record["path"] in KNOWN else "other"
            self._service.figures.answered(path, record.get("status", 499), seconds)
            self._service.journal.write("request", **record, ms=round(1000 * seconds, 2))

    def _admit(self, scope: Scope, record: dict[str, Any]) -> None:
        headers = {name: value for name, value in scope["headers"] if name in (b"host", b"authorization")}
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > HEADER_BYTES or len(scope["headers"]) > MOST_HEADERS:
            raise ApiError(431, "too many headers, or too large ones", code="headers_too_large")
        host = headers.get(b"host", b"").decode("latin-1")
        if self._service.hosts is not None and _host_name(host) not in self._service.hosts:
            raise ApiError(421, "this server does not answer to that Host", code="wrong_host")
        if self._service.draining:
            what = "the server is shutting down"
            raise ApiError(503, what, kind="server_error", code="shutting_down", retry_after=5)
        if scope["path"] != "/health":
            record["caller"] = self._service.keys.check(headers.get(b"authorization", b"").decode("latin-1"))

    async def _refuse(self, error: ApiError, record: dict[str, Any], send: Send) -> None:
        record["code"] = error.code or error.kind
        self._service.figures.refused(record["code"])
        headers = [(b"retry-after", str(error.retry_after).encode())] if error.retry_after else []
        if error.status in (408, 413):  # the rest of the body is not read
            headers.append((b"connection", b"close"))
        if error.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send_json(send, error.status, error.body, headers)


def _host_name(host: str) -> str:
    """A Host header without its port: `[::1]:8000` is `[::1]`."""
    return host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host


class Desk:
    """Answers chat completions."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, record = self._service, scope["record"]
        caller = record["caller"]
        _check_headers(scope, service.limits.body_bytes)
        service.gate.enter(caller)
        try:
            body = await _read_all(receive, service.limits)
            if not hasattr(service.backend, "submit"):
                await _forward(service.backend, body, service.limits.request_seconds, send)
                return
            row = read_body(body)
            ask = read_ask(row)
            if service.journal.contents:
                service.journal.write("asked", id=record["id"], body=row)
            try:
                task = make_task(ask, service.family)
            except (ValueError, TemplateError) as error:
                raise ApiError(400, str(error), param="messages", code="invalid_value") from None
            await Exchange(service, service.backend, ask, task, record).run(len(body), receive, send)
        finally:
            service.gate.leave(caller)


async def _forward(backend: Any, body: bytes, seconds: float, send: Send) -> None:
    try:
        async with asyncio.timeout(seconds):
            await backend.forward(body, send)
    except TimeoutError:
        raise late(seconds) from None


def _check_headers(scope: Scope, most: int) -> None:
    """Refuse what is not JSON (a page in a browser may send plain text unasked) or says it is too large."""
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise ApiError(415, "send `Content-Type: application/json`", code="unsupported_media_type")
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)


async def _read_all(receive: Receive, limits: Limits) -> bytes:
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ApiError(400, "the client has gone", code="gone")
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > limits.body_bytes:
                    raise _too_large(limits.body_bytes)
                if not message.get("more_body"):
                    return b"".join(pieces)
    except TimeoutError:
        what = f"the body was not there within {limits.body_seconds:g} seconds"
        raise ApiError(408, what, code="slow_body") from None


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is larger than {most} bytes", code="body_too_large")
