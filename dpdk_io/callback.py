"""Functions of the user's, called from compiled code by address: what they do needs no compiling of what calls them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dpdk_io.jit import JIT, compile_callback

_I64 = ir.IntType(64)
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class Callback:
    """*fn*, a kernel of four int64, at an address; it lives as long as this object. If it *answers*, its result is an int64."""

    def __init__(self, fn: Callable[..., Any], *, answers: bool) -> None:
        self._kept: Any
        if JIT:
            self._kept, self.address = compile_callback(fn, answers)
        else:
            self._kept = _CALLBACK(lambda a, b, c, d: int(fn(a, b, c, d) or 0))
            self.address = int(ctypes.cast(self._kept, ctypes.c_void_p).value or 0)


def _call(address: int, a: int, b: int, c: int, d: int) -> int:
    return _CALLBACK(int(address))(int(a), int(b), int(c), int(d))


def _typed(typingctx: Any, address: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """What the `Callback` at *address* returns for the four values."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = ir.FunctionType(_I64, [_I64] * 4)
        return builder.call(builder.inttoptr(args[0], function.as_pointer()), args[1:])

    return types.int64(*[types.int64] * 5), code


call_back = intrinsic(_typed) if JIT else _call
