"""References to records in memory, as compiled code sees them: `record_at(address, CONN).snd_una` is one load.

Every integer field reads as an int64, and what is written to it is truncated; floats and arrays are as numba has them. Loads and
stores carry a type-based alias tag, one for each record type and one for the words that `memory` stores: LLVM may take a record's
field to be unchanged while other records, packets and tables are written. So a word in memory is either a field of one record
type, or a word that `memory` stores, never both.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models, register_default
from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr
from numba.np import arrayobj

_I64 = ir.IntType(64)
WORD = "word"


class Ref(types.Type):
    """The numba type of a reference to a record; `record` is numba's type of the record itself."""

    def __init__(self, record: types.Record) -> None:
        self.record = record
        digest = blake2b(record.name.encode(), digest_size=8).hexdigest()
        self.tag = f"record {digest}"
        super().__init__(name=f"Ref({digest})")


@register_default(Ref)
class _RefModel(models.OpaqueModel):
    pass


@infer_getattr
class _RefAttributes(AttributeTemplate):
    key = Ref

    def generic_resolve(self, typ: Ref, attr: str) -> Any:
        if attr not in typ.record.fields:
            return None
        kind = typ.record.typeof(attr)
        return types.int64 if isinstance(kind, types.Integer) else kind


def tagged(builder: ir.IRBuilder, access: Any, name: str) -> Any:
    """*access*, a load or store, with the alias tag *name*."""
    module = builder.module
    root = module.add_metadata(["te-apps"])
    kind = module.add_metadata([name, root, ir.Constant(_I64, 0)])
    access.set_metadata("tbaa", module.add_metadata([kind, kind, ir.Constant(_I64, 0)]))
    return access


def _field(context: Any, builder: Any, typ: Ref, value: Any, attr: str) -> tuple[Any, Any]:
    kind = typ.record.typeof(attr)
    address = builder.gep(value, [ir.Constant(_I64, typ.record.offset(attr))], inbounds=True)
    return kind, builder.bitcast(address, context.get_data_type(kind).as_pointer())


def _whole(context: Any, builder: Any, typ: Ref, value: Any) -> Any:
    return builder.bitcast(value, context.get_value_type(typ.record))


@lower_getattr_generic(Ref)
def _getattr(context: Any, builder: Any, typ: Ref, value: Any, attr: str) -> Any:
    if typ.record.typeof(attr) not in types.integer_domain:
        return arrayobj.record_getattr(context, builder, typ.record, _whole(context, builder, typ, value), attr)
    kind, address = _field(context, builder, typ, value, attr)
    word = tagged(builder, builder.load(address, align=1), typ.tag)
    return context.cast(builder, word, kind, types.int64)


@lower_setattr_generic(Ref)
def _setattr(context: Any, builder: Any, signature: Any, args: Any, attr: str) -> None:
    typ, given = signature.args
    if typ.record.typeof(attr) not in types.integer_domain:
        record = _whole(context, builder, typ, args[0])
        arrayobj.record_setattr(context, builder, types.void(typ.record, given), (record, args[1]), attr)
        return
    kind, address = _field(context, builder, typ, args[0], attr)
    value = context.cast(builder, args[1], given, kind)
    tagged(builder, builder.store(value, address, align=1), typ.tag)
