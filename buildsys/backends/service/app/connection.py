"""Drops connections whose client stalls: uvicorn itself only bounds the pause between two requests."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .settings import Settings


@cache
def limit() -> float:
    """Seconds that a client may make the service wait."""
    return Settings.read().request_timeout


class Connection(H11Protocol):  # type: ignore[misc]  # uvicorn has no types here.
    """One client's connection, with a deadline while the service waits for that client.

    The deadline covers headers, bodies that no handler reads, and answers that the client does not
    take. It does not start again with each byte: a client that sends one a second would never meet
    it. The body of `/predict` has its own deadline, which is answered by 408 (`main.Service`).
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._owed: str | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client that connects owes a request."""
        super().connection_made(transport)
        self._start("request")

    def data_received(self, data: bytes) -> None:
        """More of a request, perhaps its end."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """The answer is written, as far as the client takes it."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._stop()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Starts the clock where the client owes something new; stops it where it owes nothing."""
        owed = self._owes()
        if owed != self._owed:
            self._stop()
            if owed is not None:
                self._start(owed)

    def _owes(self) -> str | None:
        answered = self.cycle is not None and self.cycle.response_complete
        if self.cycle is None or (self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]):
            return "request"
        if self.conn.their_state is h11.SEND_BODY and answered:
            return "rest of the body"
        return "reading" if self.transport.get_write_buffer_size() else None

    def _start(self, owed: str) -> None:
        self._owed = owed
        self._unsent = self.transport.get_write_buffer_size()
        self._deadline = self.loop.call_later(limit(), self._expire)

    def _stop(self) -> None:
        self._owed = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        was, unsent = self._owed, self._unsent
        self._stop()
        owed = self._owes()
        if owed == "reading" and self.transport.get_write_buffer_size() < unsent:
            self._start(owed)  # The client takes its answer, slowly.
        elif owed is not None and owed == was:
            # `close` would wait until the client has taken what is still to be sent.
            self.transport.abort()
