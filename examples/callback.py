"""Show Python a few of the packets: every thousandth goes to a callback, the others never leave compiled code.

python examples/callback.py
"""

import time

import numpy as np

from dpdk_io.mbuf import data, set_length
from dpdk_io.memory import store64
from dpdk_io.ports import open_ports
from operators.macswap import macswap
from pipeline import NEXT, USER0, Core, Pipeline, Run, operator, room, send, take, tick


@operator(state=[("seen", "u8")], params={"every": ("u8", 1_000)})
def sample(state):
    """Give every so many-th packet to the callback for USER0."""
    state.seen += 1
    return USER0 if state.seen % state.every == 0 else NEXT


@tick
def keep_going(out):
    """Emit an empty frame where there is room: samples do not come back."""
    if room(out) < 64:
        return 0
    mbuf = take(out)
    set_length(mbuf, 60)
    store64(data(mbuf), 0)
    store64(data(mbuf) + 8, 0)
    send(out, mbuf)
    return 1


def main(seconds: float = 0.5) -> list[int]:
    """The lengths of the frames sampled."""
    lengths: list[int] = []

    def look(frame: np.ndarray) -> None:
        lengths.append(len(frame))

    with open_ports(["loopback"], [0]) as ports:
        core = Core(Pipeline("sampled", [keep_going, sample, macswap]), ports[0], 0, callbacks={USER0: look})
        with Run([(0, [core])]):
            time.sleep(seconds)
    return lengths


if __name__ == "__main__":
    print(f"{len(main())} packets were looked at")
