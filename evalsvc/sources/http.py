"""Events over HTTP: ``POST /v1/events``, answered when they are masked and on the disk.

Requests arrive in the web server's event loop; decoding and masking run in one thread of their own, since a
masker need not be safe to share. What was masked goes to a write-ahead log, many requests to one fsync, and
only then is 202 sent. The worker reads the log as any other source, and the log forgets what it committed.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from evalsvc.clock import SystemClock
from evalsvc.errors import DecodeError, MissingExtra, SourceError, SourceUnavailable
from evalsvc.protocols import Assignment, Chunk, Clock
from evalsvc.sources._body import MAX_BODY_BYTES, Refused, collect, notation, split
from evalsvc.sources._wal import LogFull, WriteAheadLog
from evalsvc.sources.decode import (
    DEFAULT_LIMITS,
    MAX_EVENT_BYTES,
    MAX_MASKED_BYTES,
    Reason,
    TimeBounds,
    decode,
    encode_masked,
)
from evalsvc.types import Event

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

log = logging.getLogger("evalsvc.sources")

HttpReason = Reason | Literal["masking_failed"]
Mask = Callable[[Event], Event]

_MAX_IN_FLIGHT_BYTES = 64 << 20
_POLL_RECORDS, _POLL_BYTES = 2000, 8 << 20
_PAUSED_SECONDS = 0.05


class Rejected(msgspec.Struct, frozen=True):
    """One item of a request that is not an event; ``message`` names the place, never the content."""

    index: int
    reason: str
    message: str


class HttpSource:
    """A :class:`~evalsvc.protocols.Source` that a web server fills and the worker reads.

    :meth:`routes` may be mounted before :meth:`open`; until then, and after :meth:`close`, requests get 503.
    The methods of the protocol are called from the worker's thread, the endpoint from the server's loop.

    Args:
        folder: where the write-ahead log lives; one process at a time.
        mask: takes personal data out of an event; nothing is written before it returned. Called from one
            thread.
        token: when given, requests need ``Authorization: Bearer TOKEN``.
        limits: how far an event's time may lie from its receipt.
        max_backlog_bytes: beyond this much unread data, requests get 429.
        max_body_bytes: the largest request, unpacked.
        clock: where the time of receipt comes from.
    """

    def __init__(
        self,
        folder: str | Path,
        mask: Mask,
        token: str | None = None,
        limits: TimeBounds = DEFAULT_LIMITS,
        max_backlog_bytes: int = 1 << 30,
        max_body_bytes: int = MAX_BODY_BYTES,
        clock: Clock | None = None,
    ) -> None:
        self.folder, self._mask, self._token = Path(folder), mask, token
        self.limits, self.max_backlog_bytes, self.max_body_bytes = limits, max_backlog_bytes, max_body_bytes
        self._clock = clock or SystemClock()
        self._log: WriteAheadLog | None = None
        self._masking: ThreadPoolExecutor | None = None
        self._assignment: Assignment | None = None
        self._position: int | None = None
        self._paused = self._ended = False
        self._in_flight_bytes = 0
        self.awaited: Callable[[], str] = str
        """What the worker waits for before it opens this source; 503 says it."""

    # Source: the worker's thread.

    def open(self, assignment: Assignment) -> None:
        """Open the log and begin to take requests.

        Raises:
            SourceError: another process has the folder, it cannot be written, or the log is damaged.
        """
        self.close()
        self._assignment, self._position, self._ended = assignment, None, False
        self._masking = ThreadPoolExecutor(1, "evalsvc-mask")
        self._log = WriteAheadLog(self.folder, max_backlog_bytes=self.max_backlog_bytes)

    @property
    def partition(self) -> str:
        """The name of the one partition; constant for a folder. Known after :meth:`open`."""
        return f"http:{self._opened().identity}"

    def poll(self, timeout_seconds: float) -> Sequence[Chunk]:
        """Return what is on the disk and was not returned yet; wait for it at most so long."""
        wal = self._opened()
        if self._position is None:
            self._position = self._start(wal)
        if self._paused:
            time.sleep(min(timeout_seconds, _PAUSED_SECONDS))
            return ()
        if not wal.wait(self._position, timeout_seconds):
            return ()
        records = wal.read(self._position, _POLL_RECORDS, _POLL_BYTES)
        if not records:
            return ()
        self._position = records[-1].offset + 1
        return (Chunk(self.partition, records),)

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`; requests are still taken, up to the backlog's bound."""
        self._paused = True

    def resume(self) -> None:
        """Deliver again."""
        self._paused = False

    def commit(self, positions: Mapping[str, int]) -> None:
        """Let the log forget what is before the position of its partition."""
        wal = self._opened()
        if self.partition in positions:
            wal.commit(positions[self.partition])

    def lag(self) -> Mapping[str, int]:
        """Return how many accepted records were not polled yet."""
        if self._log is None:
            return {}
        at = self._log.committed if self._position is None else self._position
        return {self.partition: self._log.end - at}

    @property
    def finished(self) -> bool:
        """Never: another request may come."""
        return False

    def close(self) -> None:
        """Write what is on its way, answer it, and let go of the folder."""
        self._ended = True
        wal, masking, self._log, self._masking, self._assignment = self._log, self._masking, None, None, None
        if wal is not None:
            wal.close()
        if masking is not None:
            masking.shutdown(wait=False)

    def _opened(self) -> WriteAheadLog:
        if self._log is None:
            raise SourceError("The source is not open; call open() first")
        return self._log

    def _start(self, wal: WriteAheadLog) -> int:
        assignment = self._assignment
        wanted = assignment.resume_at(self.partition, wal.committed) if assignment is not None else None
        if wanted is not None and wanted > wal.end:
            raise SourceError(
                f"{self.folder}: the log ends at record {wal.end}, but {wanted} are known to be done: "
                f"it is an older copy; delete {self.folder / 'id'} so that its records count as new ones"
            )
        return wal.committed if wanted is None else wanted

    # The endpoint: the server's loop.

    def routes(self) -> list[Route]:
        """Return the routes to mount: ``POST /v1/events``.

        Raises:
            MissingExtra: when starlette is not installed.
        """
        try:
            from starlette.routing import Route
        except ImportError as error:
            raise MissingExtra("starlette", "web") from error
        return [Route("/v1/events", self._post, methods=["POST"])]

    async def _post(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        held = 0

        def reserve(size: int) -> None:
            nonlocal held
            self._reserve(size)
            held += size

        try:
            self._authorise(request.headers.get("authorization", ""))
            written = notation(request.headers)
            wal = self._ready(int(request.headers.get("content-length") or 0))
            body = await collect(request.stream(), written.gzip, self.max_body_bytes, reserve)
            accepted, rejected = await self._take(wal, body, written.lines)
        except Refused as refused:
            return JSONResponse({"error": refused.message}, refused.status, refused.headers)
        finally:
            self._in_flight_bytes -= held
        answer = {"accepted": accepted, "rejected": [msgspec.structs.asdict(item) for item in rejected]}
        return JSONResponse(answer, 400 if rejected and not accepted else 202)

    def _authorise(self, header: str) -> None:
        if self._token is None:
            return
        scheme, _, given = header.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Refused(401, "Expected `Authorization: Bearer TOKEN` with this server's token", challenge)

    def _ready(self, announced_bytes: int) -> WriteAheadLog:
        """Refuse early what would be refused late, before its body was read."""
        wal = self._log
        if wal is None:
            raise self._away()
        if announced_bytes > self.max_body_bytes:
            raise Refused(413, f"Expected at most {self.max_body_bytes} bytes a request; send smaller batches")
        if wal.backlog_bytes + announced_bytes > wal.max_backlog_bytes:
            raise Refused(429, f"{wal.backlog_bytes} bytes wait to be evaluated", {"Retry-After": "5"})
        self._fits(announced_bytes)
        return wal

    def _away(self) -> Refused:
        if self._ended:
            said = "stopped: the worker that reads these events has ended, its log says why; nothing was accepted"
        else:
            said = (
                f"starting: {self.awaited() or 'the worker that reads these events'}; nothing was accepted, ask again"
            )
        return Refused(503, said, {"Retry-After": "5"})

    def _fits(self, size: int) -> None:
        if self._in_flight_bytes + size > _MAX_IN_FLIGHT_BYTES:
            raise Refused(429, "Too many requests at once", {"Retry-After": "1"})

    def _reserve(self, size: int) -> None:
        """Count bytes that are about to be held; a body's announced size is a promise, or absent."""
        self._fits(size)
        self._in_flight_bytes += size

    async def _take(self, wal: WriteAheadLog, body: bytes, lines: bool) -> tuple[int, list[Rejected]]:
        """Decode, mask, write and wait for the disk."""
        received_at = self._clock.now()
        masking = self._masking
        if masking is None:
            raise self._away()
        try:
            loop = asyncio.get_running_loop()
            payloads, rejected = await loop.run_in_executor(masking, self._prepare, body, lines, received_at)
            if payloads:
                await asyncio.wrap_future(wal.submit(payloads, _milliseconds(received_at)))
        except LogFull as full:
            raise Refused(507 if full.disk else 429, str(full), {"Retry-After": "30" if full.disk else "5"}) from None
        except (SourceUnavailable, RuntimeError) as error:
            raise Refused(503, f"Nothing was taken: {error}", {"Retry-After": "5"}) from None
        return len(payloads), rejected

    def _prepare(self, body: bytes, lines: bool, received_at: datetime) -> tuple[list[bytes], list[Rejected]]:
        # The log keeps milliseconds; the worker must see the very time that was judged here.
        received_at = datetime.fromtimestamp(_milliseconds(received_at) / 1000, UTC)
        payloads: list[bytes] = []
        rejected: list[Rejected] = []
        for index, item in enumerate(split(body, lines)):
            try:
                payloads.append(self._masked(item, received_at))
            except DecodeError as error:
                rejected.append(Rejected(index, error.reason, str(error)))
        return payloads, rejected

    def _masked(self, item: bytes, received_at: datetime) -> bytes:
        if len(item) > MAX_EVENT_BYTES:
            raise DecodeError("too_large", f"Expected at most {MAX_EVENT_BYTES} bytes an event, but got {len(item)}")
        event = decode(item, received_at, self.limits)
        if event.findings:
            raise DecodeError("unknown_field", "Expected only known fields at `$`, but got `findings`")
        try:
            masked = self._mask(event)
        except Exception as error:
            log.error("masking_failed error=%s", type(error).__name__)
            raise DecodeError(
                "masking_failed", f"Masking failed ({type(error).__name__}); nothing was stored"
            ) from None
        payload = encode_masked(masked)
        if len(payload) > MAX_MASKED_BYTES:
            raise DecodeError(
                "too_large", f"Expected at most {MAX_MASKED_BYTES} bytes once masked, but got {len(payload)}"
            )
        return payload


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
