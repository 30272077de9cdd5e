"""Many header fields at once: compared with a pattern, or moved to a record by one load, one shuffle and one store.

A `matcher` and a `taker` are made for a layout, and are intrinsics like those of `memory`, with the same kind of Python twin.
Nothing here checks bounds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from dpdk_io.jit import JIT
from dpdk_io.memory import be16, be32, load8
from dpdk_io.reference import Ref, tagged

_PATTERN, _SPAN = 16, 32
"""Bytes that are compared, and that are moved; moving them within either half of these is cheapest."""
_BYTE, _I32, _I64, _I128 = (ir.IntType(bits) for bits in (8, 32, 64, 128))
_BYTES = ir.VectorType(_BYTE, _SPAN)
_READ = {1: load8, 2: be16, 4: be32}

Fields = Mapping[str, tuple[int, int]]
"""For the name of each field, where its value begins in the headers, and its bytes there, in network order: 1, 2 or 4."""

Pattern = Mapping[int, tuple[int, int]]
"""For offsets of bytes, the value wanted there, and which of its bits count."""


def _vector(octets: Any) -> ir.Constant:
    return ir.Constant(ir.VectorType(_BYTE, len(octets)), [ir.Constant(_BYTE, octet) for octet in octets])


def matcher(pattern: Pattern) -> Any:
    """A function of an address with 16 readable bytes: are they as *pattern* says?"""
    values = [pattern.get(offset, (0, 0))[0] for offset in range(_PATTERN)]
    masks = [pattern.get(offset, (0, 0))[1] for offset in range(_PATTERN)]

    def twin(address: int) -> bool:
        octets = [load8(address + offset) for offset in range(_PATTERN)]
        return all((octet ^ value) & mask == 0 for octet, value, mask in zip(octets, values, masks, strict=True))

    def typed(typingctx: Any, address: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            found = builder.load(builder.inttoptr(args[0], _vector(values).type.as_pointer()), align=1)
            odd = builder.bitcast(builder.and_(builder.xor(found, _vector(values)), _vector(masks)), _I128)
            return builder.icmp_unsigned("==", odd, ir.Constant(_I128, 0))

        return types.boolean(types.int64), code

    return intrinsic(typed) if JIT else twin


def taker(fields: Fields, beside: Collection[str]) -> Any:
    """A function of a record and an address with 32 readable bytes: set *fields* to what they say.

    Of the record's other fields, those *beside* them may lose their values.
    """

    def twin(record: Any, address: int) -> None:
        for name, (offset, size) in fields.items():
            setattr(record, name, _READ[size](address + offset))

    def typed(typingctx: Any, record: Any, address: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            move = _at_once if _lie_together(record, fields, beside) else _one_by_one
            move(builder, record, args[0], args[1], fields)
            return context.get_dummy_value()

        return types.void(record, types.int64), code

    return intrinsic(typed) if JIT else twin


def _first(record: Ref, fields: Fields) -> int:
    return min(record.record.offset(name) for name in fields)


def _lie_together(record: Ref, fields: Fields, beside: Collection[str]) -> bool:
    """Can all be written at once?"""
    layout: Mapping[str, Any] = as_dtype(record.record).fields or {}
    first = _first(record, fields)
    end = first + _SPAN
    hit = {name for name, (kind, place, *_) in layout.items() if first - kind.itemsize < place < end}
    return end <= record.record.size and hit <= {*fields, *beside} and all(layout[n][1] + fields[n][1] <= end for n in fields)


def _at_once(builder: Any, record: Ref, target: Any, source: Any, fields: Fields) -> None:
    first = _first(record, fields)
    origins = [_SPAN] * _SPAN  # a byte of the other operand, which is zero
    for name, (offset, size) in fields.items():
        place = record.record.offset(name) - first
        origins[place : place + size] = range(offset + size - 1, offset - 1, -1)
    found = builder.load(builder.inttoptr(source, _BYTES.as_pointer()), align=1)
    order = ir.Constant(ir.VectorType(_I32, _SPAN), [ir.Constant(_I32, origin) for origin in origins])
    place = builder.gep(target, [ir.Constant(_I64, first)], inbounds=True)
    moved = builder.shuffle_vector(found, ir.Constant(_BYTES, None), order)
    tagged(builder, builder.store(moved, builder.bitcast(place, _BYTES.as_pointer()), align=1), record.tag)


def _one_by_one(builder: Any, record: Ref, target: Any, source: Any, fields: Fields) -> None:
    for name, (offset, size) in fields.items():
        word = ir.IntType(8 * size)
        place = builder.gep(target, [ir.Constant(_I64, record.record.offset(name))], inbounds=True)
        address = builder.add(source, ir.Constant(_I64, offset))
        found = builder.load(builder.inttoptr(address, word.as_pointer()), align=1)
        value = found if size == 1 else builder.bswap(found)
        tagged(builder, builder.store(value, builder.bitcast(place, word.as_pointer()), align=1), record.tag)
