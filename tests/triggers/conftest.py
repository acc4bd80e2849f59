"""Measuring what a computation costs, undisturbed by neighbours on the machine or by the tracer that counts lines."""

import sys
from collections.abc import Callable
from time import process_time
from timeit import repeat

import pytest


@pytest.fixture
def cpu_seconds() -> Callable[..., float]:
    """The best processor time of one call, in seconds."""

    def measure(call: Callable[[], object], number: int = 1, rounds: int = 5) -> float:
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return min(repeat(call, number=number, repeat=rounds, timer=process_time)) / number
        finally:
            sys.settrace(tracer)

    return measure
