"""Words in memory, for compiled code.

An address is an int64, and so is every value loaded (zero-extended) or stored (truncated): arithmetic is then the same in
compiled code, where it wraps, and in Python, as long as results are masked to the width they are stored in. Nothing here
checks bounds: the caller has, once, and says so. Each primitive is an LLVM intrinsic with a Python twin of the same name
that serves under NUMBA_DISABLE_JIT=1, where `guard` can limit it to the memory it may touch.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dpdk_io.jit import JIT, kernel
from dpdk_io.reference import WORD, Ref, tagged

_I64 = ir.IntType(64)
_MASK = (1 << 64) - 1
_allowed: list[tuple[int, int]] = []
_exchanging = threading.Lock()
_FEW = 64
_HUGE_PAGE = 1 << 21
_LARGE = 1 << 18


@contextmanager
def guard(*regions: tuple[int, int]) -> Iterator[None]:
    """Within the block, Python twins raise IndexError outside *regions*, each (address, bytes). Compiled code is not affected."""
    _allowed.extend((start, start + size) for start, size in regions)
    try:
        yield
    finally:
        del _allowed[len(_allowed) - len(regions) :]


def _check(address: int, size: int) -> None:
    if _allowed and not any(start <= address and address + size <= end for start, end in _allowed):
        raise IndexError(f"{size} bytes at {address:#x} are outside the guarded memory")


def signed(value: int) -> int:
    """*value* as the int64 with the same low 64 bits."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _load(bits: int, swap: bool) -> Any:
    word = ir.IntType(bits)
    ctype = {8: ctypes.c_uint8, 16: ctypes.c_uint16, 32: ctypes.c_uint32, 64: ctypes.c_int64}[bits]

    def twin(address: int) -> int:
        address = int(address)
        _check(address, bits // 8)
        value = ctype.from_address(address).value
        if swap:
            value = int.from_bytes(value.to_bytes(bits // 8, "little", signed=value < 0), "big", signed=bits == 64)
        return value

    def typed(typingctx: Any, address: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = builder.load(builder.inttoptr(args[0], word.as_pointer()), align=1)
            if swap:
                value = builder.bswap(value)
            return value if bits == 64 else builder.zext(value, _I64)

        return types.int64(types.int64), code

    return intrinsic(typed) if JIT else twin


def _store(bits: int, swap: bool) -> Any:
    word = ir.IntType(bits)
    ctype = {8: ctypes.c_uint8, 16: ctypes.c_uint16, 32: ctypes.c_uint32, 64: ctypes.c_uint64}[bits]

    def twin(address: int, value: int) -> None:
        address = int(address)
        _check(address, bits // 8)
        value = int(value) & ((1 << bits) - 1)
        ctype.from_address(address).value = int.from_bytes(value.to_bytes(bits // 8, "little"), "big") if swap else value

    def typed(typingctx: Any, address: Any, value: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = args[1] if bits == 64 else builder.trunc(args[1], word)
            if swap:
                value = builder.bswap(value)
            tagged(builder, builder.store(value, builder.inttoptr(args[0], word.as_pointer()), align=1), WORD)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), code

    return intrinsic(typed) if JIT else twin


load8 = _load(8, False)
load16 = _load(16, False)
load32 = _load(32, False)
load64 = _load(64, False)
be16 = _load(16, True)
be32 = _load(32, True)
be64 = _load(64, True)
store8 = _store(8, False)
store16 = _store(16, False)
store32 = _store(32, False)
store64 = _store(64, False)
put_be16 = _store(16, True)
put_be32 = _store(32, True)


def _twin_of(twin: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Use the decorated typing function as an intrinsic, or *twin* when JIT is off."""
    return lambda typed: intrinsic(typed) if JIT else twin


def _copy(target: int, source: int, size: int) -> None:
    _check(int(target), int(size))
    _check(int(source), int(size))
    ctypes.memmove(int(target), int(source), int(size))


@_twin_of(_copy)
def copy_many(typingctx, target, source, size):
    """Copy *size* bytes between regions that do not overlap, by a function of the C library."""

    def code(context, builder, signature, args):
        pointer = ir.IntType(8).as_pointer()
        cgutils.raw_memcpy(builder, builder.inttoptr(args[0], pointer), builder.inttoptr(args[1], pointer), args[2], 1, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), code


@kernel
def copy(target, source, size):
    """Copy *size* bytes between regions that do not overlap. Few are copied here: a call would cost more."""
    if size > _FEW:
        copy_many(target, source, size)
        return
    end = target + (size & ~7)
    while target < end:
        store64(target, load64(source))
        target += 8
        source += 8
    if size & 4:
        store32(target, load32(source))
        target += 4
        source += 4
    if size & 2:
        store16(target, load16(source))
        target += 2
        source += 2
    if size & 1:
        store8(target, load8(source))


@_twin_of(lambda address: None)
def prefetch(typingctx, address):
    """Ask for the cache line at *address*; never faults."""

    def code(context, builder, signature, args):
        pointer = ir.IntType(8).as_pointer()
        i32 = ir.IntType(32)
        fnty = ir.FunctionType(ir.VoidType(), [pointer, i32, i32, i32])
        fn = cgutils.get_or_insert_function(builder.module, fnty, "llvm.prefetch.p0")
        builder.call(fn, [builder.inttoptr(args[0], pointer), i32(1), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(types.int64), code


@_twin_of(lambda: time.perf_counter_ns())
def rdtsc(typingctx):
    """The cycle counter (nanoseconds of the monotonic clock when JIT is off); `clock.hertz` gives its rate."""

    def code(context, builder, signature, args):
        fn = builder.module.declare_intrinsic("llvm.readcyclecounter", (), ir.FunctionType(_I64, ()))
        return builder.call(fn, ())

    return types.int64(), code


@_twin_of(lambda a, b: signed(int(a) * int(b)))
def mul64(typingctx, a, b):
    """The low 64 bits of a product."""
    return types.int64(types.int64, types.int64), lambda context, builder, signature, args: builder.mul(*args)


@_twin_of(lambda a, b: signed((int(a) & _MASK) * (int(b) & _MASK) >> 64))
def high64(typingctx, a, b):
    """The high 64 bits of the product of two unsigned words."""

    def code(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(word, wide) for word in args))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), _I64)

    return types.int64(types.int64, types.int64), code


@_twin_of(lambda a, n: (int(a) >> int(n) | int(a) << 32 - int(n)) & 0xFFFFFFFF)
def rotate32(typingctx, a, n):
    """The low 32 bits of *a*, which has no others, rotated right by *n* bits, above 0 and below 32."""

    def code(context, builder, signature, args):
        half = ir.IntType(32)
        word, by = (builder.trunc(arg, half) for arg in args)
        fn = builder.module.declare_intrinsic("llvm.fshr", [half], ir.FunctionType(half, [half, half, half]))
        return builder.zext(builder.call(fn, [word, word, by]), _I64)

    return types.int64(types.int64, types.int64), code


@_twin_of(lambda a, b: signed(int(a) + int(b)))
def add64(typingctx, a, b):
    """The low 64 bits of a sum."""
    return types.int64(types.int64, types.int64), lambda context, builder, signature, args: builder.add(*args)


def _add_around(a: int, b: int) -> int:
    total = (int(a) & _MASK) + (int(b) & _MASK)
    return signed(total + (total >> 64))


@_twin_of(_add_around)
def add_around(typingctx, a, b):
    """The sum of two 64-bit words, the carry out of its top added at its bottom: one's complement addition (RFC 1071)."""

    def code(context, builder, signature, args):
        pair = builder.uadd_with_overflow(*args)
        return builder.add(builder.extract_value(pair, 0), builder.zext(builder.extract_value(pair, 1), _I64))

    return types.int64(types.int64, types.int64), code


@_twin_of(lambda a, n: signed((int(a) & _MASK) >> int(n)))
def shr64(typingctx, a, n):
    """Shift right by *n* bits, filling with zeros."""
    return types.int64(types.int64, types.int64), lambda context, builder, signature, args: builder.lshr(*args)


def _load_acquire(address: int) -> int:
    return ctypes.c_int64.from_address(int(address)).value


@_twin_of(lambda a, b: signed((int(a) & _MASK) // int(b)))
def div64(typingctx, a, b):
    """The quotient of two unsigned words; by a constant it is a multiplication."""
    return types.int64(types.int64, types.int64), lambda context, builder, signature, args: builder.udiv(*args)


@_twin_of(lambda a: int(a).bit_length())
def bit_length(typingctx, a):
    """The bits of *a*, not negative, without the zeros in front."""

    def code(context, builder, signature, args):
        return builder.sub(ir.Constant(_I64, 64), builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0)))

    return types.int64(types.int64), code


@_twin_of(lambda x: int.from_bytes(struct.pack("<d", x), "little", signed=True))
def bits_of(typingctx, x):
    """The 64 bits of a float: sign, exponent, fraction."""
    return types.int64(types.float64), lambda context, builder, signature, args: builder.bitcast(args[0], _I64)


@_twin_of(_load_acquire)
def load_acquire(typingctx, address):
    """The 64-bit word at *address* (8-byte aligned), read before anything that follows in the program."""

    def code(context, builder, signature, args):
        return builder.load_atomic(builder.inttoptr(args[0], _I64.as_pointer()), ordering="acquire", align=8)

    return types.int64(types.int64), code


def _store_release(address: int, value: int) -> None:
    ctypes.c_int64.from_address(int(address)).value = int(value)


@_twin_of(_store_release)
def store_release(typingctx, address, value):
    """Write the 64-bit word at *address* (8-byte aligned) after everything that precedes in the program."""

    def code(context, builder, signature, args):
        builder.store_atomic(args[1], builder.inttoptr(args[0], _I64.as_pointer()), ordering="release", align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


def _exchange(address: int, value: int) -> int:
    word = ctypes.c_int64.from_address(int(address))
    with _exchanging:
        old, word.value = word.value, int(value)
    return old


@_twin_of(_exchange)
def exchange(typingctx, address, value):
    """Swap the 64-bit word at *address* with *value*, atomically; the old word. The twin is not atomic."""

    def code(context, builder, signature, args):
        return builder.atomic_rmw("xchg", builder.inttoptr(args[0], _I64.as_pointer()), args[1], ordering="seq_cst")

    return types.int64(types.int64, types.int64), code


def _record_at(address: int, dtype: np.dtype) -> Any:
    address = int(address)
    _check(address, dtype.itemsize)
    memory = (ctypes.c_uint8 * dtype.itemsize).from_address(address)
    return np.frombuffer(memoryview(memory), dtype=dtype).view(np.recarray)[0]


@_twin_of(_record_at)
def record_at(typingctx, address, dtype):
    """The record of *dtype* (a module constant) at *address*, by reference: `record_at(a, CONN).snd_una = x` writes memory."""
    reference = Ref(dtype.dtype)

    def code(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(reference))

    return reference(types.int64, dtype), code


@_twin_of(lambda records, index: records[int(index)])
def row(typingctx, records, index):
    """Record *index* of an array of records, by reference. The caller knows that it is there."""
    reference = Ref(records.dtype)

    def code(context, builder, signature, args):
        array = cgutils.create_struct_proxy(records)(context, builder, value=args[0])
        start = builder.ptrtoint(array.data, _I64)
        address = builder.add(start, builder.mul(args[1], ir.Constant(_I64, records.dtype.size)))
        return builder.inttoptr(address, context.get_value_type(reference))

    return reference(records, types.int64), code


@_twin_of(lambda record: _record_at(record.__array_interface__["data"][0] + record.dtype.itemsize, record.dtype))
def next_row(typingctx, record):
    """The record behind *record* in an array of them, by reference. The caller knows that it is there."""

    def code(context, builder, signature, args):
        return builder.gep(args[0], [ir.Constant(_I64, record.record.size)], inbounds=True)

    return record(record), code


@_twin_of(int)
def i64(typingctx, value):
    """*value* as an int64 (a Python int when JIT is off), so that arithmetic on record fields neither wraps nor warns."""

    def code(context, builder, signature, args):
        return context.cast(builder, args[0], signature.args[0], types.int64)

    return types.int64(value), code


def aligned(count: int, dtype: Any, alignment: int = 64) -> np.recarray:
    """A zeroed record array of *count* elements that starts at a multiple of *alignment* bytes; a large one in huge pages of its
    own, where the kernel has any: looked up all over, it would use up the processor's page tables."""
    dtype = np.dtype(dtype)
    size = count * dtype.itemsize
    if size >= _LARGE:
        alignment = _HUGE_PAGE
        pages = mmap.mmap(-1, size + alignment, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel that was built without huge pages
            pages.madvise(mmap.MADV_HUGEPAGE)
        raw = np.frombuffer(pages, np.uint8)
    else:
        raw = np.zeros(size + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + size].view(dtype).view(np.recarray)
