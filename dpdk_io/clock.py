"""The rate of `memory.rdtsc`, measured against CLOCK_MONOTONIC over the time since this module was imported.

The longer a program has run, the better the figure: reading both clocks takes well under a microsecond, so that the error after
0.1 s is below 1e-5. Nothing is waited for, except when the rate is asked for within `_SHORTEST` of the import.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

from llvmlite import binding, ir

from dpdk_io.jit import JIT

_SHORTEST = 10_000_000
_engines: list[binding.ExecutionEngine] = []


def _cycle_counter() -> Callable[[], int]:
    """`rdtsc` as a C function. Numba would need a quarter of a second to compile it, LLVM alone a few milliseconds."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    word = ir.IntType(64)
    module = ir.Module("cycles")
    module.triple = binding.get_process_triple()
    builder = ir.IRBuilder(ir.Function(module, ir.FunctionType(word, ()), "te_apps_cycles").append_basic_block())
    builder.ret(builder.call(module.declare_intrinsic("llvm.readcyclecounter", (), ir.FunctionType(word, ())), ()))
    machine = binding.Target.from_triple(module.triple).create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(str(module)), machine)
    engine.finalize_object()
    _engines.append(engine)
    return ctypes.CFUNCTYPE(ctypes.c_uint64)(engine.get_function_address("te_apps_cycles"))


cycles: Callable[[], int] = _cycle_counter() if JIT else time.perf_counter_ns
"""`memory.rdtsc` for Python callers."""


def _both() -> tuple[int, int]:
    """(cycles, monotonic nanoseconds) of one moment: the closest of a few readings, so that being preempted is harmless."""

    def reading() -> tuple[int, int, int]:
        before = cycles()
        now = time.monotonic_ns()
        after = cycles()
        return after - before, (before + after) // 2, now

    _, tick, now = min(reading() for _ in range(5))
    return tick, now


_start = _both()


def hertz() -> int:
    """Cycles of `memory.rdtsc` in a second; 1_000_000_000 when JIT is off."""
    if not JIT:
        return 1_000_000_000
    early = _start[1] + _SHORTEST - time.monotonic_ns()
    if early > 0:
        time.sleep(early / 1e9)
    tick, now = _both()
    return round((tick - _start[0]) * 1e9 / (now - _start[1]))
