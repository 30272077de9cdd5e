"""IPv6 addresses as 32-bit numbers, so that connections and their index are the same for both families.

The table holds an address while somebody uses it: the engine that has it for its own or connects to it, a connection, or a
packet that is being looked at. One that nobody holds is loose; `sweep` takes loose ones out, when no packet's number is in use.
So whoever sends from ever new addresses fills the table no more than the connections that are open.
"""

from __future__ import annotations

import numpy as np

from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.memory import aligned, be32, copy, i64, load8, load32, load64, mul64, record_at, shr64, store32
from tcp.block import Block
from tcp.checksum import fold
from tcp.isn import siphash12

FIRST_NUMBER = 0xF0000000
"""Numbers of IPv6 addresses begin here. Of IPv4 these are class E, which no host has (RFC 1112 section 4)."""
NOT_THERE = 0

OURS = 1 << 31
"""In `users`: an address of our own, which never leaves the table."""

ADDRESS = np.dtype([("octets", "u1", (16,)), ("added", "<u4"), ("users", "<u4"), ("after", "<u4"), ("loose_after", "<u4")])
"""octets: as on the wire; added: its eight 16-bit words, added in one's complement; users: who holds it; after: the next of the
same bucket, or of those free; loose_after: the next loose one. These two are places + 1, 0 for none, and _LAST for the end."""
_SIZE = ADDRESS.itemsize
assert _SIZE == 32
_AFTER = 24
_BUCKET = np.dtype([("place", "<u4")])

ADDRESSES = np.dtype([(name, "<i8") for name in ("entries", "buckets", "mask", "seed", "free", "loose", "used", "capacity")])
"""entries, buckets: addresses of arrays; mask: buckets - 1; free, loose: first places of their lists."""
assert ADDRESSES.itemsize == 64

_LAST = 0xFFFFFFFF
_ODD1, _ODD2 = -0x61C8864680B583EB, -0x4B47D0C5A1A5F4CD


@inlined
def octets_of(table, number):
    """Where the 16 bytes of the address with *number* lie."""
    return i64(table.entries) + (number - FIRST_NUMBER) * _SIZE


@inlined
def address_of(table, number):
    """The ADDRESS with *number*."""
    return record_at(octets_of(table, number), ADDRESS)


@kernel
def _bucket(table, octets):
    """The address of the bucket of the address at *octets*; who does not know the seed cannot fill one."""
    seed = i64(table.seed)
    word = mul64(load64(octets) ^ seed, _ODD1)
    word = mul64(word ^ shr64(word, 32) ^ load64(octets + 8), _ODD2)
    return i64(table.buckets) + (shr64(mul64(word ^ shr64(word, 29), _ODD1), 32) & i64(table.mask)) * 4


@kernel
def find(table, octets):
    """The number of the address at *octets*, or NOT_THERE."""
    entries, high, low = i64(table.entries), load64(octets), load64(octets + 8)
    place = load32(_bucket(table, octets))
    while place != 0:
        entry = entries + (place - 1) * _SIZE
        if load64(entry) == high and load64(entry + 8) == low:
            return FIRST_NUMBER + place - 1
        place = load32(entry + _AFTER)
    return NOT_THERE


@kernel
def intern(table, octets):
    """The number of the address at *octets*, entered as a loose one if it is new; NOT_THERE when the table is full."""
    number = find(table, octets)
    free = i64(table.free)
    if number != NOT_THERE or free == 0:
        return number
    number = FIRST_NUMBER + free - 1
    address, bucket = address_of(table, number), _bucket(table, octets)
    table.free = i64(address.after)
    table.used = i64(table.used) + 1
    copy(octets_of(table, number), octets, 16)
    address.added = fold(be32(octets) + be32(octets + 4) + be32(octets + 8) + be32(octets + 12))
    address.users = 0
    address.after = load32(bucket)
    address.loose_after = 0
    store32(bucket, free)
    _loosen(table, address, free)
    return number


@kernel
def _loosen(table, address, place):
    """Put it on the list of those that `sweep` looks at, unless it is there."""
    if i64(address.loose_after) == 0:
        loose = i64(table.loose)
        address.loose_after = loose if loose else _LAST
        table.loose = place


@rare
def hold(table, number):
    """One more uses the address."""
    address = address_of(table, number)
    address.users = i64(address.users) + 1


@rare
def let_go(table, number):
    """One uses it no more."""
    address = address_of(table, number)
    users = i64(address.users) - 1
    address.users = users
    if users == 0:
        _loosen(table, address, number - FIRST_NUMBER + 1)


@kernel
def is_ours(table, number):
    """Is it an address of our own?"""
    return number != NOT_THERE and i64(address_of(table, number).users) & OURS != 0


@kernel
def is_host(octets):
    """Can the address at *octets* be a host's on a link? Not ::, ::1, an IPv4 address in disguise, or a group's."""
    return load64(octets) != 0 and load8(octets) != 0xFF


@kernel
def sweep(table):
    """Take out the loose addresses that nobody has begun to use; how many. Numbers that packets were given are void then."""
    place, taken = i64(table.loose), i64(0)
    while place != 0 and place != _LAST:
        address = address_of(table, FIRST_NUMBER + place - 1)
        following = i64(address.loose_after)
        address.loose_after = 0
        if i64(address.users) == 0:
            _take_out(table, address, place)
            taken += 1
        place = following
    table.loose = 0
    return taken


@kernel
def _take_out(table, address, place):
    entries = i64(table.entries)
    link = _bucket(table, entries + (place - 1) * _SIZE)
    while load32(link) != place:
        link = entries + (load32(link) - 1) * _SIZE + _AFTER
    store32(link, i64(address.after))
    address.after = i64(table.free)
    table.free = place
    table.used = i64(table.used) - 1


@rare
def digest(octets, key0, key1):
    """32 bits that stand for the address at *octets*, whatever its number: what an initial sequence number is made from."""
    return siphash12(key0, key1, siphash12(key0, key1, load64(octets), i64(0)) ^ load64(octets + 8), i64(1)) & 0xFFFFFFFF


def addresses_bytes(capacity: int) -> int:
    """Bytes of a table for *capacity* addresses."""
    return _SIZE * capacity + (_BUCKET.itemsize << (capacity - 1).bit_length())


def new_addresses(capacity: int, seed: int) -> Block:
    """An empty table for *capacity* addresses, 1 to 2^28 - 1, at 36 to 40 bytes each. *seed* makes its hash unpredictable."""
    if not 1 <= capacity < 1 << 28:
        raise ValueError(f"a table holds 1 to {(1 << 28) - 1} addresses, not {capacity}")
    record, entries = aligned(1, ADDRESSES), aligned(capacity, ADDRESS)
    buckets = aligned(1 << (capacity - 1).bit_length(), _BUCKET)
    entries["after"] = np.arange(2, capacity + 2)
    entries["after"][-1] = 0
    record[0].entries, record[0].buckets = entries.ctypes.data, buckets.ctypes.data
    record[0].mask = len(buckets) - 1
    record[0].seed = seed & ((1 << 63) - 1)
    record[0].free, record[0].capacity = 1, capacity
    return Block(record[0], (record, entries, buckets))


def enter(table: Block, octets: bytes, bits: int = 1) -> int:
    """The number of an address that stays in the table, *bits* added to its users (OURS, or 1: one user)."""
    words = aligned(16, np.uint8)
    words[:] = np.frombuffer(octets, np.uint8)
    number = int(intern(table.record, words.ctypes.data))
    if number == NOT_THERE:
        raise ValueError(f"the table is full: it holds {int(table.record.capacity)} addresses")
    users = table.arrays[1]["users"]
    place = number - FIRST_NUMBER
    users[place] = int(users[place]) | bits if bits == OURS else int(users[place]) + bits
    return number
