"""What both forms of `LatencyHistogram` compute alike: argument checks and exact statistics.

None of it is on the path of `record`. It is here, once, so that the compiled histogram and its
pure-Python twin give the same floats to the last bit and the same error messages.
"""

from __future__ import annotations

import math
import operator
import sys
from typing import TYPE_CHECKING, Any, SupportsIndex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Buffer

__all__ = [
    "CLAMPS",
    "DEFAULT_EXACT",
    "MAX_COUNT",
    "MAX_EXACT",
    "MAX_SECONDS",
    "MAX_SLICES",
    "OPERATIONS",
    "RECORDERS",
    "SUMMARY_PERCENTILES",
    "SUM_EXPONENT",
    "as_exact",
    "as_percentile",
    "as_seconds",
    "as_slice",
    "as_slices",
    "bucket_midpoint",
    "bucket_of",
    "describe",
    "exact_sums",
    "float64_view",
    "mean_of",
    "nearest_rank",
    "not_a_histogram",
    "not_contained",
    "not_copied",
    "slice_length_ns",
    "stddev_of",
    "sum_of",
    "too_many_values",
]

DEFAULT_EXACT = 4096
MAX_EXACT = 1 << 20
MAX_SECONDS = 2.0**33
"""Longer values are clamped: 272 years, the largest power of two whose nanoseconds fit 63 bits."""
MAX_COUNT = 1 << 62
MAX_SLICES = 1024
CLAMPS = ("negative", "nan", "overflow")

SUM_EXPONENT = 1074
"""Sums are integers in units of 2**-1074 s (the least positive double); squares of 2**-2148."""

RECORDERS = {
    "deployment": "record_deployment",
    "api": "record_api_latency",
    "cli": "record_cli_latency",
    "mcp": "record_mcp_latency",
    "session_sync": "record_session_sync",
}
"""For each operation that `PerformanceMetrics` measures, the method that records its latency."""
OPERATIONS = tuple(RECORDERS)

SUMMARY_PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}

_FLOAT64_FORMATS = {"d", "@d", "=d", "<d" if sys.byteorder == "little" else ">d"}
_RANK_TOLERANCE = 1.0 - 2.0**-51
_ROOT_BITS = 64
_MANTISSA_BITS = 53
_SCALABLE_PLACES = 990  # MAX_SECONDS times that many twos is still finite


def as_seconds(value: Any) -> float:
    """Return `value`, any real number but a bool, as a float; too large an integer is infinite."""
    if isinstance(value, bool):
        raise TypeError("seconds must be a real number, not bool")
    try:
        return math.ldexp(value, 0)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except TypeError:
        raise TypeError(f"seconds must be a real number, not {type(value).__name__}") from None


def as_percentile(value: Any) -> float:
    """Return `value` as a float within 0 to 100."""
    if isinstance(value, bool):
        raise TypeError("a percentile must be a real number, not bool")
    try:
        percentile = math.ldexp(value, 0)
    except OverflowError:
        percentile = math.inf
    except TypeError:
        raise TypeError(f"a percentile must be a real number, not {type(value).__name__}") from None
    if not 0.0 <= percentile <= 100.0:  # noqa: PLR2004 - per cent
        raise ValueError(f"a percentile must be between 0 and 100, not {value!r}")
    return percentile


def as_exact(value: Any) -> int:
    """Return `value` as the number of samples that a histogram retains."""
    if isinstance(value, bool):
        raise TypeError("exact must be an integer, not bool")
    try:
        exact = operator.index(value)
    except TypeError:
        raise TypeError(f"exact must be an integer, not {type(value).__name__}") from None
    if not 0 <= exact <= MAX_EXACT:
        raise ValueError(f"exact must be between 0 and {MAX_EXACT}, not {exact}")
    return exact


def as_slices(value: Any) -> int:
    """Return `value` as the number of slices of a window."""
    if isinstance(value, bool):
        raise TypeError("slices must be an integer, not bool")
    try:
        slices = operator.index(value)
    except TypeError:
        raise TypeError(f"slices must be an integer, not {type(value).__name__}") from None
    if not 1 <= slices <= MAX_SLICES:
        raise ValueError(f"slices must be between 1 and {MAX_SLICES}, not {slices}")
    return slices


def slice_length_ns(window: int, slices: int) -> int:
    """Return the length of each slice of a window, in nanoseconds like the window."""
    if window < slices:
        raise ValueError(f"window must be at least 1 ns for each of {slices} slices")
    return window // slices


def as_slice(start: SupportsIndex, stop: SupportsIndex | None) -> slice:
    """Return the slice from `start` to `stop`, both turned into plain integers."""
    return slice(operator.index(start), None if stop is None else operator.index(stop))


def float64_view(values: Buffer) -> memoryview[float]:
    """Return a native view of a one-dimensional, contiguous float64 buffer."""
    view = memoryview(values)
    if view.ndim != 1:
        raise ValueError(f"record_many() takes a 1-d array, not {view.ndim}-d")
    if view.format not in _FLOAT64_FORMATS:
        raise ValueError(f"record_many() takes float64 values, not format {view.format!r}")
    if not view.c_contiguous:
        raise ValueError("record_many() takes a contiguous array")
    # A view of an empty array cannot be cast; two casts turn '<d' and its like into the native 'd'.
    return (view.cast("B") if view.nbytes else memoryview(b"")).cast("d")


def bucket_of(seconds: float) -> int:
    """Return the bucket of a value within 0 and `MAX_SECONDS`.

    Below 1,024 ns a bucket is one nanosecond wide. From there on every octave, found by the
    integer bit length, is cut into 512 buckets of equal width; consecutive octaves take
    consecutive numbers, so the numbering is continuous and monotonic.
    """
    nanoseconds = int(seconds * 1e9)
    if nanoseconds < 1024:  # noqa: PLR2004 - twice the sub-buckets of an octave
        return nanoseconds
    shift = nanoseconds.bit_length() - 10
    return (shift << 9) + (nanoseconds >> shift)


def bucket_midpoint(bucket: int) -> float:
    """Return the middle of a bucket, in seconds."""
    shift = max(bucket >> 9, 1) - 1
    low = (bucket - (shift << 9)) << shift
    return (low + 0.5 * (1 << shift)) / 1e9


def nearest_rank(percentile: float, count: int) -> int:
    """Return the 1-based rank ``ceil(percentile / 100 * count)``, at least 1 and at most `count`.

    The product is computed in doubles, in which 99.9 % of 1,000 comes out a hair above 999; a
    product that exceeds an integer by no more than such rounding counts as that integer.
    """
    return min(max(math.ceil(percentile * count / 100.0 * _RANK_TOLERANCE), 1), count)


def exact_sums(values: Sequence[float]) -> tuple[int, int]:
    """Return the exact sums of `values`, none negative, and of their squares.

    They are in units of 2**-1074 s and 2**-2148 s**2. Adding takes place in units of the last bit
    of the least value, which for latencies are integers of few words.
    """
    least = min(filter(None, values), default=0.0)
    places = min(_MANTISSA_BITS - math.frexp(least)[1], SUM_EXPONENT)
    if places <= _SCALABLE_PLACES:
        unit = 2.0**places  # a power of two: the products are exact
        integers = [int(value * unit) for value in values]
    else:
        ratios = map(float.as_integer_ratio, values)
        integers = [(number << places) // denominator for number, denominator in ratios]
    rest = SUM_EXPONENT - places
    return sum(integers) << rest, sum(map(operator.mul, integers, integers)) << (2 * rest)


def sum_of(total: int) -> float:
    """Return the correctly rounded float of an exact sum, in seconds."""
    return total / (1 << SUM_EXPONENT)


def mean_of(total: int, count: int) -> float:
    """Return the correctly rounded mean: what `statistics.mean` gives for the same values."""
    return total / (count << SUM_EXPONENT) if count else 0.0


def stddev_of(total: int, squares: int, count: int) -> float:
    """Return the correctly rounded population standard deviation.

    It is the root of the rational ``(count * squares - total**2) / (count**2 * 2**2148)``. The
    quotient is scaled to some 128 bits, so that its integer root has more bits than a double; the
    lowest bit of the root is made sticky (rounding to odd), which keeps the final division, which
    Python rounds correctly, from rounding twice.
    """
    numerator = count * squares - total * total
    if numerator <= 0:
        return 0.0
    denominator = (count * count) << (2 * SUM_EXPONENT)
    scale = _ROOT_BITS + max((denominator.bit_length() - numerator.bit_length()) // 2, 0)
    quotient, remainder = divmod(numerator << (2 * scale), denominator)
    root = math.isqrt(quotient)
    if remainder or root * root != quotient:
        root |= 1
    return root / (1 << scale)


def describe(
    summary: Mapping[str, float], name: str = "LatencyHistogram", **parameters: float
) -> str:
    """Return the `repr` of a histogram with this `summary`."""
    shown = [f"{parameter}={value:.6g}" for parameter, value in parameters.items()]
    shown.append(f"count={summary['count']}")
    shown += [f"{figure}={summary[figure]:.6g}" for figure in ("mean", "p50", "p99", "max")]
    return f"{name}({', '.join(shown)})"


def not_a_histogram(value: object, method: str) -> TypeError:
    """Return the error for merging or subtracting something else."""
    return TypeError(f"{method}() takes a LatencyHistogram, not {type(value).__name__}")


def not_contained() -> ValueError:
    """Return the error for subtracting what was never recorded."""
    return ValueError("subtract() takes a histogram of values that are all in this one")


def not_copied(window: object) -> TypeError:
    """Return the error for copying or pickling a window of time."""
    return TypeError(f"a {type(window).__name__} cannot be copied or pickled: its snapshot() can")


def too_many_values() -> OverflowError:
    """Return the error for merging histograms that together exceed `MAX_COUNT`."""
    return OverflowError("the merged histogram would hold more than 2**62 values")
