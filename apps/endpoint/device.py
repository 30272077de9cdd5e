"""Between a device and the host: a pipeline that answers ARP and ping itself, and hands the host what is left for it."""

from __future__ import annotations

import numpy as np

from apps.endpoint.host import Host
from dpdk_io import Port
from dpdk_io.memory import be32, i64, load8, store64
from operators import wire
from operators.arp_responder import arp_responder
from operators.drop import drop
from operators.icmp_echo import icmp_echo
from operators.own_mac import own_mac
from operators.parse import ARP, FRAGMENT, ICMP, SEGMENTED, TCP, parse
from pipeline import NEXT, USER0, Core, GroupBy, Pipeline, operator, tick

_WHOLE = 0xFFFFFFFF
_MOST_TURNS = 256
"""In one exchange: what arrives faster than it is taken must not keep the requests waiting."""


@tick
def one_turn(out):
    """Let this turn of the loop be the last."""
    store64(out, i64(1))
    return i64(0)


@operator(params={"ip": ("u4", 0)}, reads=("l3", "dst"))
def to_host(pkt, meta, state):
    """Hand the host IPv4 packets for *ip* that were sent to a station and carry no VLAN tag; the others go on."""
    if meta.l3 != wire.ETH_HEADER or i64(meta.dst) != i64(state.ip) or load8(pkt + wire.ETH_DST) & wire.ETH_GROUP != 0:
        return NEXT
    return USER0


@operator(params={"ip": ("u4", 0)}, reads=("l3",))
def arp_to_host(pkt, meta, state):
    """Hand the host ARP packets that ask or tell *ip*; the others go on."""
    if meta.l3 != wire.ETH_HEADER or be32(pkt + wire.ETH_HEADER + wire.ARP_TPA) != i64(state.ip):
        return NEXT
    return USER0


def pipeline(addresses: tuple[int, ...], mac: int) -> Pipeline:
    """What happens to a frame before the host sees it."""
    rest = drop.named("not_for_us")
    ours = [to_host(ip=ip) for ip in addresses]
    arms = {
        TCP: [*ours, rest],
        ARP: [*(arp_responder(ip=ip, mac=mac) for ip in addresses), *(arp_to_host(ip=ip) for ip in addresses), rest],
        ICMP: [*(icmp_echo(ip=ip, mask=_WHOLE) for ip in addresses), *ours, rest],
        FRAGMENT: [drop.named("fragment")],
        SEGMENTED: [drop.named("segmented")],
    }
    return Pipeline("endpoint", [one_turn, own_mac(mac=mac), parse, GroupBy("kind", arms, otherwise=[rest])])


class Link:
    """The host on queue 0 of *port*."""

    def __init__(self, host: Host, port: Port) -> None:
        self._host = host
        steps = pipeline(host.addresses, host.site.mac)
        self.core = Core(steps, port, 0, idle="spin", callbacks={USER0: self._take}, inject=self._give)

    def _take(self, frame: np.ndarray) -> None:
        self._host.frame(frame.tobytes())

    def _give(self) -> bytes | None:
        return self._host.frames.popleft() if self._host.frames else None

    def exchange(self) -> bool:
        """Receive and send until there is nothing more of either; whether there was anything."""
        record = self.core.record
        for turn in range(_MOST_TURNS):
            record.stop = 0
            sending = bool(self._host.frames)
            self.core.poll(1.0)
            if not (record.rx_last or sending or self._host.frames or record.queued.any()):
                return turn > 0
        return True
