"""What a polling core does when there is nothing to do: burn, hand the core to whoever wants it, or sleep."""

from __future__ import annotations

import platform

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dpdk_io.jit import JIT, kernel, native

SPIN, YIELD, SLEEP = 0, 1, 2
POLICIES = {"spin": SPIN, "yield": YIELD, "sleep": SLEEP}
"""The policies by the names a configuration uses."""

SLEEP_US = 50
"""One sleep; Linux adds its timer slack of 50 us."""

sched_yield = native("sched_yield", "i32")
usleep = native("usleep", "i32", "u32")

_HINT = {"x86_64": ("llvm.x86.sse2.pause", ()), "aarch64": ("llvm.aarch64.hint", (1,))}.get(platform.machine())


def _cpu_relax(typingctx):
    def code(context, builder, signature, args):
        if _HINT:
            name, values = _HINT
            word = ir.IntType(32)
            hint = builder.module.declare_intrinsic(name, (), ir.FunctionType(ir.VoidType(), [word for _ in values]))
            builder.call(hint, [word(value) for value in values])
        return context.get_dummy_value()

    return types.void(), code


def _no_hint() -> None:
    """The interpreter is slow enough to be its own pause."""


cpu_relax = intrinsic(_cpu_relax) if JIT else _no_hint
"""Tell the core that this is a spinning loop: `pause` on x86, `yield` on Arm."""


@kernel
def wait(policy, empty, patience):
    """Pass a moment after *empty* polls in a row that found nothing; yields and sleeps only from *patience* polls on."""
    if policy == SPIN or empty < patience:
        cpu_relax()
    elif policy == YIELD:
        sched_yield()
    else:
        usleep(SLEEP_US)
