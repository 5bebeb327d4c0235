"""Logs and metrics.

Log events have fixed names (``upstream.request_failed``) and carry data as fields. What identifies a request is
bound once at the entrance. Secrets never reach a log: fields whose name sounds like one are blanked here, as the
last line of defence.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECRET_WORDS = ("secret", "password", "authorization", "access_token", "access_key", "master_key", "sealed")


def _blank_secrets(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in event:
        if key != "event" and any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = "***"
    return event


def configure_logging(level: str = "INFO", *, json: bool | None = None) -> None:
    """Set up structlog and the standard library's log to write one line per event to standard error."""
    as_json = not sys.stderr.isatty() if json is None else json
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            # The default one prints local variables, and those hold secrets.
            exception_formatter=structlog.dev.plain_traceback
        )
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _blank_secrets,
    ]
    final = [structlog.processors.format_exc_info] if as_json else []
    structlog.configure(
        processors=[*shared, *final, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final, renderer],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("httpx", "httpcore", "uvicorn.access", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class Metrics:
    """The numbers at ``/metrics``. Labels come from closed sets; none of them names a tenant."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "gateway_requests_total",
            "Requests answered.",
            ["entrance", "method", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "gateway_request_seconds", "Time to answer a request.", ["entrance"], registry=self.registry
        )
        self.upstream_calls = Counter(
            "gateway_upstream_calls_total",
            "Calls to AEP and IMS by operation and outcome.",
            ["operation", "outcome"],
            registry=self.registry,
        )
        self.isolation_breaches = Counter(
            "gateway_isolation_breaches_total",
            "Times that a tenant saw rows of another one in a table; anything but 0 is an alarm.",
            ["table"],
            registry=self.registry,
        )
        self.credential_fallbacks = Counter(
            "gateway_upstream_credential_fallbacks_total",
            "Calls made with a tenant's credential before, because IMS refuses its current one.",
            registry=self.registry,
        )
        self.writes = Counter(
            "gateway_writes_total",
            "Operations that went through the write door.",
            ["action", "outcome"],
            registry=self.registry,
        )
        self.reconciled = Counter(
            "gateway_reconciled_total",
            "Changes without an outcome that were looked up.",
            ["action", "finding"],
            registry=self.registry,
        )
        self.sync_runs = Counter(
            "gateway_sync_runs_total",
            "Reads of a sandbox into the cache.",
            ["resource", "outcome"],
            registry=self.registry,
        )
        self.sync_lag_seconds = Gauge(
            "gateway_sync_lag_seconds", "Age of the oldest cached sandbox.", registry=self.registry
        )
