"""The web application: `/predict`, `/health`, `/metrics`."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ...kit.serve.wire import Refused, decode, encode, parse
from . import schema
from .counts import KIND, Counts
from .model import Model
from .settings import Interface, Settings

LOG = logging.getLogger("uvicorn.error")
UNRELEASED = "unreleased"
"""FastAPI refuses an empty version."""


def create() -> FastAPI:
    """Loads the model and makes the application."""
    settings, interface = Settings.read(), Interface.read()
    service = Service(settings, interface, Model(settings, interface))
    app = FastAPI(
        title=interface.model["name"],
        version=interface.model["release"] or UNRELEASED,
        # Their pages load scripts from elsewhere; /openapi.json is there.
        docs_url=None,
        redoc_url=None,
    )
    described = schema.predict(interface)
    app.add_api_route("/predict", service.predict, methods=["POST"], openapi_extra=described)
    app.add_api_route("/health", service.health, methods=["GET"])
    app.add_api_route("/metrics", service.metrics, methods=["GET"])
    return app


class Service:
    """The answers."""

    def __init__(self, settings: Settings, interface: Interface, model: Model) -> None:
        self._settings = settings
        self._interface = interface
        self._model = model
        self._counts = Counts(interface.model)

    async def health(self) -> Response:
        """The model is loaded: it answers."""
        return self._answer(HTTPStatus.OK, {"status": "ok"})

    async def metrics(self) -> Response:
        """Counts for Prometheus."""
        return Response(self._counts.text(), media_type=KIND)

    async def predict(self, request: Request) -> Response:
        """Checks a request, runs the model, and tells which model it was."""
        seconds = self._settings.request_timeout
        try:
            async with asyncio.timeout(seconds):
                body = await self._body(request)
        except TimeoutError:
            said = {"detail": f"the body was not sent within {seconds:g} seconds", "input": None}
            answer = self._answer(HTTPStatus.REQUEST_TIMEOUT, said)
            # What is left of the body is not waited for.
            answer.headers["Connection"] = "close"
        except ClientDisconnect:
            return Response()  # Nobody is there to read it.
        else:
            answer = await self._answered(body)
        self._counts.requests.labels(str(answer.status_code)).inc()
        return answer

    async def _answered(self, body: bytes | None) -> Response:
        if body is not None:
            return await run_in_threadpool(self._predict, body)
        most = self._settings.max_body
        said = {"detail": f"the body weighs more than {most} bytes", "input": None}
        return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said)

    async def _body(self, request: Request) -> bytes | None:
        """The body, or `None` where it is too large; what is left of it is then not kept."""
        body, size = bytearray(), 0
        async for chunk in request.stream():
            size += len(chunk)
            if size <= self._settings.max_body:
                body += chunk
            else:
                body.clear()
        return bytes(body) if size <= self._settings.max_body else None

    def _predict(self, body: bytes) -> Response:
        started = time.perf_counter()
        try:
            feed = decode(parse(body), self._interface.inputs, self._settings.nonfinite)
        except Refused as error:
            said = {"detail": str(error), "input": error.input}
            return self._answer(HTTPStatus.UNPROCESSABLE_ENTITY, said)
        try:
            got = self._model.run(feed)
        except Exception as error:  # Whatever it raises is reported, and the service goes on.
            LOG.exception("the model failed")
            said = {"detail": f"the model failed: {error}", "input": None}
            return self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, said)
        outputs = {name: encode(array) for name, array in got.items()}
        answer = self._answer(HTTPStatus.OK, {"outputs": outputs})
        first = next(iter(feed.values()), None)
        self._counts.rows.inc(len(first) if first is not None and first.ndim else 1)
        self._counts.seconds.observe(time.perf_counter() - started)
        return answer

    def _answer(self, status: HTTPStatus, content: dict[str, Any]) -> Response:
        text = json.dumps({**content, "model": self._interface.model}, allow_nan=False)
        return Response(text, int(status), media_type="application/json")
