"""`PerformanceMonitor` in all its forms, on both implementations."""

from __future__ import annotations

import asyncio
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kaizen_nexus.monitoring import OPERATIONS


def failures(metrics: Any) -> int:
    count: int = metrics.get_summary()["api"]["failures"]
    return count


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_block_is_timed_and_recorded(monitoring: Any, operation: str) -> None:
    metrics = monitoring.metrics()
    with monitoring.monitor(metrics, operation) as monitor:
        assert monitor.duration == 0.0
        monitoring.clock.advance(0.25)
    assert monitor.duration == 0.25
    assert metrics.histograms[operation].recent() == [0.25]
    assert metrics.get_summary()[operation]["failures"] == 0
    assert repr(monitor) == f"PerformanceMonitor({operation!r})"


def test_the_built_in_clock_is_monotonic(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    monitor = monitoring.monitor_class(metrics, "api")
    for _ in range(100):
        with monitor:
            pass
    assert metrics.get_summary()["api"]["count"] == 100
    assert 0.0 <= metrics.get_summary()["api"]["max"] < 10.0
    assert metrics.histograms["api"].clamped["negative"] == 0


def test_an_exception_is_recorded_as_a_failure_and_goes_on(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    monitor = monitoring.monitor(metrics)
    error = KeyError("gone")

    def fail() -> None:
        with monitor:
            monitoring.clock.advance(0.5)
            raise error

    with pytest.raises(KeyError) as raised:
        fail()
    assert raised.value is error
    assert metrics.api_latencies == [0.5]
    assert monitor.duration == 0.5
    assert failures(metrics) == 1


@pytest.mark.parametrize("operation", ["http", "API", "", None, ["api"]])
def test_an_unknown_operation_is_refused(monitoring: Any, operation: Any) -> None:
    with pytest.raises(ValueError, match=r"^unknown operation .*: use 'deployment', ") as raised:
        monitoring.monitor(monitoring.metrics(), operation)
    assert all(repr(name) in str(raised.value) for name in OPERATIONS)


def test_something_else_than_metrics_is_refused(monitoring: Any) -> None:
    with pytest.raises(TypeError, match=r"^metrics must be a PerformanceMetrics, not dict$"):
        monitoring.monitor({})


def test_leaving_without_entering_is_an_error(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    monitor = monitoring.monitor(metrics)
    with pytest.raises(RuntimeError, match=r"^this PerformanceMonitor was not entered$"):
        monitor.__exit__(None, None, None)
    with monitor:
        pass
    with pytest.raises(RuntimeError, match=r"^this PerformanceMonitor was not entered$"):
        monitor.__exit__(None, None, None)
    assert len(metrics.api_latencies) == 1


def test_a_clock_that_steps_back_is_clamped(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    with monitoring.monitor(metrics) as monitor:
        monitoring.clock.advance(-1.0)
    assert monitor.duration == -1.0
    assert metrics.api_latencies == [0.0]
    assert metrics.histograms["api"].clamped["negative"] == 1


def test_blocks_of_one_monitor_nest(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    monitor = monitoring.monitor(metrics)
    with monitor:
        monitoring.clock.advance(1)
        with monitor:
            monitoring.clock.advance(2)
            with monitor:
                monitoring.clock.advance(4)
            monitoring.clock.advance(8)
        monitoring.clock.advance(16)
    with monitor:
        monitoring.clock.advance(32)
    assert metrics.api_latencies == [4.0, 14.0, 31.0, 32.0]


def test_blocks_of_several_monitors_may_overlap(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    first, second = monitoring.monitor(metrics), monitoring.monitor(metrics, "mcp")
    for monitor, operation in ((first, "enter"), (first, "enter"), (second, "enter"),
                               (second, "enter"), (first, "exit"), (second, "exit"),
                               (first, "exit"), (second, "exit")):  # fmt: skip
        monitoring.clock.advance(1)
        if operation == "enter":
            monitor.__enter__()
        else:
            monitor.__exit__(None, None, None)
    assert metrics.api_latencies == [3.0, 6.0]
    assert metrics.mcp_latencies == [2.0, 5.0]


def test_tasks_that_share_a_monitor_keep_their_own_times(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    monitor = monitoring.monitor(metrics)

    async def block(entered: asyncio.Event, leave: asyncio.Event) -> None:
        with monitor:
            entered.set()
            await leave.wait()

    async def main() -> None:
        leaves, tasks = [asyncio.Event() for _ in range(4)], []
        for leave in leaves:
            entered = asyncio.Event()
            tasks.append(asyncio.create_task(block(entered, leave)))
            await entered.wait()
            monitoring.clock.advance(1)
        # Entered one second apart; left in an order that is neither that one nor its reverse.
        for number in (1, 0, 3, 2):
            leaves[number].set()
            await tasks[number]
            monitoring.clock.advance(10)

    asyncio.run(main())
    assert metrics.api_latencies == [3.0, 14.0, 21.0, 32.0]


def test_a_block_nests_after_the_one_it_overlapped_was_left(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    monitor = monitoring.monitor(metrics)

    async def nest(entered: asyncio.Event, resume: asyncio.Event) -> None:
        with monitor:
            entered.set()
            await resume.wait()
            with monitor:
                monitoring.clock.advance(1)
            monitoring.clock.advance(2)

    async def main() -> None:
        entered, resume = asyncio.Event(), asyncio.Event()
        with monitor:
            task = asyncio.create_task(nest(entered, resume))
            await entered.wait()
            monitoring.clock.advance(4)
        resume.set()
        await task

    asyncio.run(main())
    assert metrics.api_latencies == [4.0, 1.0, 7.0]


def test_a_task_started_in_a_block_does_not_close_it(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    monitor = monitoring.monitor(metrics)

    async def child() -> None:
        with monitor:
            monitoring.clock.advance(1)
            await asyncio.sleep(0)
            monitoring.clock.advance(2)

    async def main() -> None:
        with monitor:
            monitoring.clock.advance(100)
            with monitor:  # kept in the context, which the tasks inherit
                tasks = [asyncio.create_task(child()) for _ in range(2)]
                await asyncio.gather(*tasks)
                late = asyncio.create_task(child())
            monitoring.clock.advance(1000)
        await late

    asyncio.run(main())
    # Two children interleave: 1 + 1 + 2, then 1 + 2 + 2; the late one runs after both blocks.
    assert metrics.api_latencies == [4.0, 5.0, 6.0, 1106.0, 3.0]


def test_threads_that_share_a_monitor_keep_their_own_times(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    monitor = monitoring.monitor(metrics)
    entered, leave = threading.Event(), threading.Event()

    def block() -> None:
        with monitor:
            entered.set()
            assert leave.wait(30)

    with ThreadPoolExecutor(1) as pool:
        with monitor:
            monitoring.clock.advance(1)
            future = pool.submit(block)
            assert entered.wait(30)
            monitoring.clock.advance(2)
        monitoring.clock.advance(4)
        with monitor:
            monitoring.clock.advance(8)
        leave.set()
        future.result()
    assert metrics.api_latencies == [3.0, 8.0, 14.0]


def test_a_crowd_on_one_monitor_loses_nothing(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    monitor = monitoring.monitor_class(metrics, "api")

    def work(_: int) -> None:
        for _ in range(500):
            with monitor, monitor:
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert metrics.get_summary()["api"]["count"] == 8000
    assert metrics.histograms["api"].clamped["negative"] == 0


def test_a_function_is_timed_on_every_call(monitoring: Any) -> None:
    metrics = monitoring.metrics()

    @monitoring.monitor(metrics)
    def wait(seconds: float, *, result: str = "done") -> str:
        """Wait for a while."""
        monitoring.clock.advance(seconds)
        return result

    assert wait(1) == "done"
    assert wait(2, result="late") == "late"
    assert metrics.api_latencies == [1.0, 2.0]
    assert (wait.__name__, wait.__doc__) == ("wait", "Wait for a while.")


def test_a_recursive_function_is_timed_at_every_level(monitoring: Any) -> None:
    metrics = monitoring.metrics()

    @monitoring.monitor(metrics)
    def descend(levels: int) -> None:
        monitoring.clock.advance(1)
        if levels:
            descend(levels - 1)

    descend(3)
    assert metrics.api_latencies == [1.0, 2.0, 3.0, 4.0]


def test_a_function_that_raises_is_a_failure(monitoring: Any) -> None:
    metrics = monitoring.metrics()

    @monitoring.monitor(metrics)
    def fail() -> None:
        monitoring.clock.advance(1)
        raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert metrics.api_latencies == [1.0]
    assert failures(metrics) == 1


def test_a_method_is_timed(monitoring: Any) -> None:
    metrics = monitoring.metrics()

    class Agent:
        @monitoring.monitor(metrics)
        def run(self, seconds: float) -> Agent:
            monitoring.clock.advance(seconds)
            return self

    agent = Agent()
    assert agent.run(3) is agent
    assert metrics.api_latencies == [3.0]


class AsyncCallable:
    def __init__(self, clock: Any) -> None:
        self.clock = clock
        functools.update_wrapper(self, type(self).__call__)

    async def __call__(self, seconds: float) -> float:
        self.clock.advance(seconds)
        await asyncio.sleep(0)
        self.clock.advance(seconds)
        return seconds


@pytest.mark.parametrize("form", ["function", "partial", "object"])
def test_a_coroutine_function_is_timed_until_it_returns(monitoring: Any, form: str) -> None:
    metrics = monitoring.metrics()
    target: Any = AsyncCallable(monitoring.clock)
    if form == "function":
        target = target.__call__
    elif form == "partial":
        target = functools.partial(target.__call__)
    timed = monitoring.monitor(metrics)(target)

    async def main() -> list[float]:
        assert metrics.api_latencies == []
        return [await timed(1), await timed(2)]

    assert asyncio.run(main()) == [1, 2]
    assert metrics.api_latencies == [2.0, 4.0]


def test_concurrent_calls_of_a_coroutine_function_have_their_own_times(monitoring: Any) -> None:
    metrics = monitoring.metrics()

    @monitoring.monitor(metrics)
    async def wait(gate: asyncio.Event) -> None:
        await gate.wait()

    async def main() -> None:
        gates = [asyncio.Event(), asyncio.Event()]
        tasks = [asyncio.create_task(wait(gate)) for gate in gates]
        await asyncio.sleep(0)
        for gate, task in zip(gates, tasks, strict=True):
            monitoring.clock.advance(1)
            gate.set()
            await task

    asyncio.run(main())
    assert metrics.api_latencies == [1.0, 2.0]


def test_a_cancelled_call_is_a_failure(monitoring: Any) -> None:
    metrics = monitoring.metrics()

    @monitoring.monitor(metrics)
    async def wait() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        monitoring.clock.advance(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert metrics.api_latencies == [2.0]
    assert failures(metrics) == 1


def test_generator_functions_are_refused(monitoring: Any) -> None:
    def generate() -> Any:
        yield

    async def generate_async() -> Any:
        yield

    monitor = monitoring.monitor(monitoring.metrics())
    for function in (generate, generate_async):
        with pytest.raises(TypeError, match=r"^a PerformanceMonitor cannot decorate a generator "):
            monitor(function)
    with pytest.raises(TypeError, match=r"^a PerformanceMonitor decorates functions, not 7$"):
        monitor(7)
