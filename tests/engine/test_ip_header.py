"""What the IP header of our segments says beside addresses: time to live, Diffserv code point, no fragments."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from tcp.segment import OPT_SACK_PERMITTED, OPT_WSCALE
from tests.engine.host import LISTEN, client, server
from tests.engine.peer import Peer, payload


@pytest.mark.conformance("rfc9293:MUST-2")
@pytest.mark.conformance("rfc9293:MUST-48", "rfc9293:MUST-49", "rfc9293:SHLD-22", "smoltcp:set_hop_limit")
@pytest.mark.parametrize(("ttl", "dscp"), [(64, 0), (1, 63), (255, 46)])
def test_every_segment_has_the_ttl_and_code_point_it_is_told_to(ttl: int, dscp: int) -> None:
    """SYN-ACK, data, ACK and RST; `Peer` computes every checksum again."""
    host = server(ttl=ttl, dscp=dscp, fin_by_server=1000)
    peer = Peer(host)
    answers = [peer.connect(options=[("MSS", 1400)])]
    answers += peer.send("PA", b"hello")
    answers += peer.take([peer.segment("PA", b"late", seq=peer.seq - 4)])
    answers += Peer(host, to=LISTEN + 1).send("S")
    assert [str(one[TCP].flags) for one in answers] == ["SA", "PA", "A", "RA"]
    assert payload(answers[1]) == b"hello"
    assert {(one[IP].ttl, one[IP].tos, str(one[IP].flags), one[IP].id) for one in answers} == {(ttl, dscp << 2, "DF", 0)}


@pytest.mark.conformance("rfc9293:MUST-48", "rfc9293:MUST-49")
@pytest.mark.parametrize("options", [0, OPT_WSCALE | OPT_SACK_PERMITTED])
def test_a_clients_syn_has_them_too(options: int) -> None:
    (frame,) = client(ttl=9, dscp=8, limits={"options": options}).run()
    syn = Ether(frame)
    assert (str(syn[TCP].flags), syn[IP].ttl, syn[IP].tos) == ("S", 9, 32)


@pytest.mark.conformance("packetdrill:ecn/ecn-uses-ect0", "rfc9293:SHLD-22")
def test_the_ecn_bits_stand_beside_the_code_point() -> None:
    host = server(dscp=46, limits={"ecn": 1}, fin_by_server=1000)
    peer = Peer(host)
    answer = peer.send("SEC")[0]
    assert (str(answer[TCP].flags), answer[IP].tos) == ("SAE", 46 << 2)
    peer.send("A")
    (answer,) = peer.send("PA", b"hello")
    assert (payload(answer), answer[IP].tos) == (b"hello", 46 << 2 | 2)
