"""What an operator says about a packet. Only the end of the loop over a burst acts on it."""

from __future__ import annotations

NEXT = 0
"""Go on to the next operator."""
DROP = 1
"""Free the packet."""
TX = 2
"""Send the packet out of the port it came from."""
SLOW = 3
"""Hand the packet to the slow path: a kernel-side interface or a Python callback, once per slice."""
KEEP = 4
"""The operator has taken the packet: it was sent elsewhere or is stored. The loop forgets it."""
USER0 = 5
"""For the pipeline's author: handed to the callback registered for this verdict, once per slice."""
USER1 = 6
"""As USER0."""
USER2 = 7
"""As USER0."""

NAMES = ("next", "drop", "tx", "slow", "keep", "user0", "user1", "user2")
"""The verdicts' names in counters, by value."""
