"""How compiled code calls kernels: they return their value, as functions in C do.

numba's own functions return a status, and through pointers their value and what they raised. Kernels raise nothing; what calls
cost that LLVM does not merge, and the slots on the stack that every caller would keep for them, is saved.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core.callconv import RETCODE_OK, CPUCallConv, Status, excinfo_ptr_t
from numba.core.cgutils import get_null_value
from numba.core.compiler_machinery import register_pass
from numba.core.cpu import CPUContext
from numba.core.errors import UnsupportedError
from numba.core.lowering import Lower
from numba.core.registry import cpu_target
from numba.core.typed_passes import NativeLowering

_KERNELS: set[str] = set()
"""The names of those that have been compiled."""

_FALSE, _TRUE = ir.Constant(ir.IntType(1), 0), ir.Constant(ir.IntType(1), 1)
_FINE = Status(RETCODE_OK, _TRUE, _FALSE, _FALSE, _FALSE, _FALSE, _FALSE, ir.Constant(excinfo_ptr_t, ir.Undefined))


def is_kernel(function: Any) -> bool:
    """Does this LLVM function return its value?"""
    return function.name in _KERNELS


class KernelConvention(CPUCallConv):
    """numba's convention, and that of kernels for functions which are some."""

    def kernel_type(self, restype: Any, argtypes: Any) -> ir.FunctionType:
        """The LLVM type of a kernel."""
        return ir.FunctionType(self.get_return_type(restype).pointee, self._get_arg_packer(argtypes).argument_types)

    def decorate_function(self, fn: Any, args: Any, fe_argtypes: Any, noalias: bool = False) -> None:
        if is_kernel(fn):
            self._get_arg_packer(fe_argtypes).assign_names(fn.args, ["arg." + name for name in args])
        else:
            super().decorate_function(fn, args, fe_argtypes, noalias)

    def get_arguments(self, func: Any) -> Any:
        return func.args if is_kernel(func) else super().get_arguments(func)

    def return_value(self, builder: Any, retval: Any) -> None:
        if is_kernel(builder.function):
            builder.ret(retval)
        else:
            super().return_value(builder, retval)

    def return_user_exc(self, builder: Any, exc: Any, exc_args: Any = None, loc: Any = None, func_name: Any = None) -> None:
        """What numba guards against in general, like a range without a step, kernels do not do: they return zeros."""
        if is_kernel(builder.function):
            builder.ret(get_null_value(builder.function.function_type.return_type))
        else:
            super().return_user_exc(builder, exc, exc_args, loc, func_name)

    def return_status_propagate(self, builder: Any, status: Status) -> None:
        if not is_kernel(builder.function) and status is not _FINE:
            super().return_status_propagate(builder, status)

    def call_function(self, builder: Any, callee: Any, resty: Any, argtys: Any, args: Any, attrs: Any = None) -> Any:
        if not is_kernel(callee):
            return super().call_function(builder, callee, resty, argtys, args, attrs)
        value = builder.call(callee, self._get_arg_packer(argtys).as_arguments(builder, args))
        return _FINE, self.context.get_returned_value(builder, resty, value)


class KernelContext(CPUContext):
    """numba's context of compiling for this processor, in which kernels are known."""

    @property
    def call_conv(self) -> KernelConvention:
        return KernelConvention(self)

    def declare_function(self, module: Any, fndesc: Any) -> Any:
        if fndesc.mangled_name not in _KERNELS:
            return super().declare_function(module, fndesc)
        function = module.globals.get(fndesc.mangled_name)
        if function is None:
            kind = self.call_conv.kernel_type(fndesc.restype, fndesc.argtypes)
            function = ir.Function(module, kind, fndesc.mangled_name)
            self.call_conv.decorate_function(function, fndesc.args, fndesc.argtypes)
            if fndesc.inline:
                function.attributes.add("alwaysinline")
        return function


cpu_target.target_context.__class__ = KernelContext


class _KernelLower(Lower):
    def setup_function(self, fndesc: Any) -> None:
        # What checks bounds raises IndexError: then kernels are called as numba's functions are.
        if not self.flags.boundscheck:
            _KERNELS.add(fndesc.mangled_name)
        super().setup_function(fndesc)

    def incref(self, typ: Any, val: Any) -> None:
        """A kernel's arrays are its caller's."""

    def decref(self, typ: Any, val: Any) -> None:
        """Nor has it any to give back."""

    def lower_static_raise(self, inst: Any) -> None:
        _refuse(inst)

    def lower_dynamic_raise(self, inst: Any) -> None:
        _refuse(inst)


def _refuse(inst: Any) -> None:
    raise UnsupportedError("kernels cannot raise: return what the caller can act on", loc=inst.loc)


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(NativeLowering):
    """numba's pass from its own representation to LLVM's, for a kernel."""

    _name = "kernel_lowering"

    @property
    def lowering_class(self) -> type[Lower]:
        return _KernelLower
