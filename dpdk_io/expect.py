"""Which way a branch goes as a rule: LLVM lays that way out straight, and keeps its values in registers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dpdk_io.jit import JIT

_BIT = ir.IntType(1)


def _expect(value: bool) -> Any:
    def typed(typingctx: Any, condition: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            function = builder.module.declare_intrinsic("llvm.expect", [_BIT], ir.FunctionType(_BIT, [_BIT, _BIT]))
            return builder.call(function, [args[0], ir.Constant(_BIT, value)])

        return types.boolean(types.boolean), code

    return intrinsic(typed) if JIT else bool


likely = _expect(True)
"""The condition itself, which is true as a rule."""
unlikely = _expect(False)
"""The condition itself, which is false as a rule."""
