"""Content of your own for transfers: numbered lines, made and checked by their place in the stream.

te-apps trafficengine --send 10M --receive 10M \\
    --payload-hook examples/hooks.py:lines --check-hook examples/hooks.py:are_lines
"""

from dpdk_io.jit import kernel
from dpdk_io.memory import load8, store8

LINE = 16
"""Bytes of a line: the connection in 4 hexadecimal digits, a blank, the line in 10, and a line feed."""


@kernel
def digit(number, place):
    """The hexadecimal digit of *number* at *place*, the lowest being 0."""
    value = number >> 4 * place & 15
    return value + 48 if value < 10 else value + 87


@kernel
def byte_at(offset, connection):
    """The stream's byte at *offset*."""
    column = offset % LINE
    if column < 4:
        return digit(connection, 3 - column)
    if column == 4:
        return 32
    return digit(offset // LINE, 14 - column) if column < 15 else 10


@kernel
def lines(address, offset, length, connection):
    """Write the *length* bytes from *offset* on to *address*."""
    for k in range(length):
        store8(address + k, byte_at(offset + k, connection))


@kernel
def are_lines(address, offset, length, connection):
    """Are the *length* bytes at *address* those from *offset* on?"""
    for k in range(length):
        if load8(address + k) != byte_at(offset + k, connection):
            return False
    return True
