"""TCP as pure functions over numpy records: no I/O, and time is an argument.

open, receive, transmit, timer, application, reset     what changes a CONN (connection.py) and tells what to send (segment.py)
expected, handshake                                    the same, for what has no trouble, in one go
icmp, window                                           the same, for ICMP errors and for an application that reads slowly
acknowledge, rto, seq, isn                             what these are made of
emit, resend, congestion, cubic, newreno               the same, on the sending side
recovery, rack, probe, sack, spans, board              the same, with selective acknowledgments
text, ranges, acks, timestamps, challenge, deadlines   the same, on the receiving side
header, checksum                                       segments as bytes
index, slots, ports, wheel, limits                     what an engine keeps beside its connections
"""

from tcp.block import Block
from tcp.connection import COLD, CONN, STATE_NAMES
from tcp.index import INDEX, new_index
from tcp.limits import LIMITS, new_limits
from tcp.ports import PORTS, new_ports
from tcp.segment import SEGMENT
from tcp.slots import SLOTS, new_slots
from tcp.wheel import WHEEL, new_wheel

__all__ = [
    "COLD",
    "CONN",
    "INDEX",
    "LIMITS",
    "PORTS",
    "SEGMENT",
    "SLOTS",
    "STATE_NAMES",
    "WHEEL",
    "Block",
    "new_index",
    "new_limits",
    "new_ports",
    "new_slots",
    "new_wheel",
]
