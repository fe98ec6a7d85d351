"""What records the latencies of the five operations: the twin of the compiled base class."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from kaizen_nexus._common.latency_values import OPERATIONS, RECORDERS
from kaizen_nexus._fallback.bucket_histogram import LatencyHistogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from typing_extensions import Self

__all__ = ["LatencyRecorders"]


class LatencyRecorders:
    """The base of `PerformanceMetrics`: its histograms, and the methods that record into them.

    The constructor leaves its arguments to the subclass, which may replace the histograms, all
    empty, by `_adopt`.
    """

    # The histogram makes each recorder, so that a call does not pass through a second function.

    __slots__ = {
        "histograms": "The histogram of each operation.",
        "record_api_latency": "Record the latency of an API request, in seconds.",
        "record_cli_latency": "Record the latency of a command, in seconds.",
        "record_deployment": "Record the time of a deployment, in seconds.",
        "record_mcp_latency": "Record the latency of an MCP tool call, in seconds.",
        "record_session_sync": "Record the time of a session synchronisation, in seconds.",
    }

    _overrides: ClassVar[bool] = False
    """Whether the class has recording methods that are not these; only its twin needs to know."""

    histograms: Mapping[str, LatencyHistogram]
    record_deployment: Callable[[float], None]
    record_api_latency: Callable[[float], None]
    record_cli_latency: Callable[[float], None]
    record_mcp_latency: Callable[[float], None]
    record_session_sync: Callable[[float], None]

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Make an instance with empty histograms."""
        recorders = super().__new__(cls)
        recorders._adopt([LatencyHistogram() for _ in OPERATIONS])
        return recorders

    @classmethod
    def _own_recorders(cls) -> None:
        """Do nothing: here an instance has its recorders."""

    def _adopt(self, histograms: Iterable[LatencyHistogram]) -> None:
        """Record into these, in the order of the operations."""
        adopted = list(histograms)
        self.histograms = MappingProxyType(dict(zip(OPERATIONS, adopted, strict=True)))
        for recorder, histogram in zip(RECORDERS.values(), adopted, strict=True):
            # Through the member of this class, because a subclass may override the name.
            LatencyRecorders.__dict__[recorder].__set__(self, histogram.recorder())
