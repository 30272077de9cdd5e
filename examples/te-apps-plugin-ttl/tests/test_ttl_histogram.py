from te_apps_plugin_ttl import ttl_histogram

from operators.parse import parse
from pipeline.testing import Bench

ETHERNET = bytes.fromhex("020000000002 020000000001 0800")
IPV4 = bytes.fromhex("450000140000000040fd 65eb 0a000001 0a000002")


def test_packets_are_counted_by_ttl():
    bench = Bench([parse, ttl_histogram])
    bench.run([ETHERNET + IPV4, ETHERNET + IPV4, bytes(60)])
    counts = bench.core.states[1][0].counts
    assert (counts[64], counts.sum()) == (2, 2)
