"""A little router: IPv4 and IPv6 lose a hop and are marked, ARP is answered, everything else is dropped.

te-apps run examples/two_branches.py:router
"""

from operators.arp_responder import arp_responder
from operators.decrement_ttl import decrement_ttl
from operators.parse import parse
from operators.set_dscp import set_dscp
from operators.set_macs import set_macs
from pipeline import DROP, TX, GroupBy, Pipeline, Stage, operator

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
HERE, NEXT_HOP = 0x020000000001, 0x020000000002


@operator
def forward():
    """Send the packet on."""
    return TX


router = Pipeline(
    "router",
    [
        parse,
        Stage(),
        GroupBy(
            "ethertype",
            {
                IPV4: [decrement_ttl, set_dscp(dscp=46)],
                IPV6: [decrement_ttl],
                ARP: [arp_responder(ip=0x0A000001, mac=HERE)],
            },
            otherwise=DROP,
        ),
        GroupBy("ethertype", {ARP: DROP}),
        set_macs(src=HERE, dst=NEXT_HOP),
        forward,
    ],
)
