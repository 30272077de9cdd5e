/* What the pipelines are compared with: the same work as loops in C. Each runs until the cycle counter reaches `until`, and returns
 * the packets it received.
 */
#include <stdint.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#define BURST 32
#define FRAME 60

struct counters {
	int64_t bytes, runts, lost;
};

static void send_or_free(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n, struct counters *counters)
{
	uint16_t sent = rte_eth_tx_burst(port, queue, mbufs, n);

	if (sent < n) {
		counters->lost += n - sent;
		rte_pktmbuf_free_bulk(mbufs + sent, n - sent);
	}
}

/* Like the pipeline it counts bytes, and drops and counts frames without a whole Ethernet header. */
int64_t bench_macswap(int64_t port, int64_t queue, uint64_t until, struct counters *counters)
{
	struct rte_mbuf *mbufs[BURST];
	int64_t packets = 0, bytes = 0;

	while (rte_rdtsc() < until) {
		uint16_t n = rte_eth_rx_burst(port, queue, mbufs, BURST), kept = 0;

		for (uint16_t i = 0; i < n; i++)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
		for (uint16_t i = 0; i < n; i++) {
			struct rte_mbuf *mbuf = mbufs[i];
			struct rte_ether_hdr *header = rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *);
			struct rte_ether_addr source;

			bytes += rte_pktmbuf_pkt_len(mbuf);
			if (rte_pktmbuf_data_len(mbuf) < sizeof(*header)) {
				counters->runts++;
				rte_pktmbuf_free(mbuf);
				continue;
			}
			source = header->src_addr;
			header->src_addr = header->dst_addr;
			header->dst_addr = source;
			mbufs[kept++] = mbuf;
		}
		if (kept > 0)
			send_or_free(port, queue, mbufs, kept, counters);
		packets += n;
	}
	counters->bytes += bytes;
	return packets;
}

/* The least a packet can cost that is built, sent and received on one core: the floor under any traffic generator. */
int64_t bench_floor(int64_t port, int64_t queue, struct rte_mempool *pool, uint64_t until, struct counters *counters)
{
	struct rte_mbuf *mbufs[BURST];
	uint8_t frame[FRAME];
	int64_t packets = 0;
	volatile uint8_t seen;

	memset(frame, 7, sizeof(frame));
	while (rte_rdtsc() < until) {
		uint16_t n;

		if (rte_pktmbuf_alloc_bulk(pool, mbufs, BURST) != 0)
			return -1;
		for (int i = 0; i < BURST; i++) {
			memcpy(rte_pktmbuf_mtod(mbufs[i], void *), frame, FRAME);
			mbufs[i]->data_len = mbufs[i]->pkt_len = FRAME;
		}
		send_or_free(port, queue, mbufs, BURST, counters);
		n = rte_eth_rx_burst(port, queue, mbufs, BURST);
		for (uint16_t i = 0; i < n; i++)
			seen = *rte_pktmbuf_mtod(mbufs[i], uint8_t *);
		rte_pktmbuf_free_bulk(mbufs, n);
		packets += n;
	}
	(void)seen;
	return packets;
}
