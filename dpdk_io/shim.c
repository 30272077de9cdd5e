/* The inline parts of DPDK as symbols that compiled Python can call: the fast calls, the mbuf's layout, EAL, its log, mempools.
 *
 * The fast calls take and return 64-bit integers alone. The others return 0 or more on success and a negative errno else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_spinlock.h>
#include <rte_version.h>

#define LOG_BYTES 65536

/* ---- fast path ---- */

int64_t te_rx_burst(int64_t port, int64_t queue, struct rte_mbuf **mbufs, int64_t n)
{
	return rte_eth_rx_burst(port, queue, mbufs, n);
}

int64_t te_tx_burst(int64_t port, int64_t queue, struct rte_mbuf **mbufs, int64_t n)
{
	return rte_eth_tx_burst(port, queue, mbufs, n);
}

int64_t te_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, int64_t n)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, n) == 0 ? n : 0;
}

void te_free_bulk(struct rte_mbuf **mbufs, int64_t n)
{
	rte_pktmbuf_free_bulk(mbufs, n);
}

/* ---- layout ---- */

struct te_field {
	const char *name;
	int32_t offset, size;
};

#define FIELD(shown, member) {shown, offsetof(struct rte_mbuf, member), sizeof(((struct rte_mbuf *)0)->member)}

static const struct te_field te_fields[] = {
	FIELD("buf_addr", buf_addr), FIELD("buf_iova", buf_iova), FIELD("data_off", data_off), FIELD("refcnt", refcnt),
	FIELD("nb_segs", nb_segs), FIELD("port", port), FIELD("ol_flags", ol_flags), FIELD("packet_type", packet_type),
	FIELD("pkt_len", pkt_len), FIELD("data_len", data_len), FIELD("vlan_tci", vlan_tci), FIELD("rss", hash.rss),
	FIELD("buf_len", buf_len), FIELD("pool", pool), FIELD("next", next), FIELD("tx_offload", tx_offload),
	{"", 0, sizeof(struct rte_mbuf)}, {"headroom", RTE_PKTMBUF_HEADROOM, 0}, {NULL, 0, 0},
};

const struct te_field *te_layout(void)
{
	return te_fields;
}

/* ---- the log, kept in memory so that it can be turned into one line ---- */

static char te_log[LOG_BYTES];
static size_t te_log_used;
static rte_spinlock_t te_log_lock = RTE_SPINLOCK_INITIALIZER;

static ssize_t te_log_write(void *cookie, const char *text, size_t size)
{
	size_t kept = size < LOG_BYTES ? size : LOG_BYTES;

	(void)cookie;
	rte_spinlock_lock(&te_log_lock);
	if (te_log_used + kept > LOG_BYTES) {
		size_t out = te_log_used + kept - LOG_BYTES;

		te_log_used -= out;
		memmove(te_log, te_log + out, te_log_used);
	}
	memcpy(te_log + te_log_used, text + size - kept, kept);
	te_log_used += kept;
	rte_spinlock_unlock(&te_log_lock);
	return size;
}

int te_log_open(void)
{
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = te_log_write});

	return stream == NULL ? -errno : rte_openlog_stream(stream);
}

int te_log_take(char *text, int size)
{
	int taken;

	rte_spinlock_lock(&te_log_lock);
	taken = RTE_MIN((int)te_log_used, size);
	memcpy(text, te_log + te_log_used - taken, taken);
	te_log_used = 0;
	rte_spinlock_unlock(&te_log_lock);
	return taken;
}

/* ---- EAL and its threads ---- */

const char *te_version(void)
{
	return rte_version();
}

int te_eal_init(int argc, char **argv)
{
	int r = rte_eal_init(argc, argv);

	fflush(stdout);
	return r < 0 ? -rte_errno : r;
}

const char *te_runtime_dir(void)
{
	return rte_eal_get_runtime_dir();
}

int te_eal_cleanup(void)
{
	return rte_eal_cleanup();
}

int te_thread_register(void)
{
	return rte_thread_register() < 0 ? -rte_errno : (int)rte_lcore_id();
}

void te_thread_unregister(void)
{
	rte_thread_unregister();
}

const char *te_strerror(int error)
{
	return rte_strerror(error);
}

/* ---- mempools and devices ---- */

/* Last-in first-out where that handler is installed: the mbufs in use then stay in the processor's caches. */
struct rte_mempool *te_pool_create(const char *name, unsigned count, unsigned cache, int socket)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create_by_ops(name, count, cache, 0, RTE_MBUF_DEFAULT_BUF_SIZE, socket, "stack");

	return pool != NULL ? pool : rte_pktmbuf_pool_create(name, count, cache, 0, RTE_MBUF_DEFAULT_BUF_SIZE, socket);
}

void te_pool_free(struct rte_mempool *pool)
{
	rte_mempool_free(pool);
}

unsigned te_pool_available(const struct rte_mempool *pool)
{
	return rte_mempool_avail_count(pool);
}

int te_last_error(void)
{
	return rte_errno;
}

int te_dev_probe(const char *devargs, const char *name)
{
	uint16_t port;
	int r = rte_dev_probe(devargs);

	if (r != 0 && r != -EEXIST)
		return r;
	r = rte_eth_dev_get_port_by_name(name, &port);
	return r != 0 ? r : port;
}

/* The rings that net_ring attaches to: one per queue, of our size in place of its 1024. */
int te_rings_create(const char *name, int count, unsigned size)
{
	char ring[RTE_RING_NAMESIZE];

	for (int i = 0; i < count; i++) {
		snprintf(ring, sizeof(ring), "ETH_RXTX%d_%s", i, name);
		if (rte_ring_create(ring, size, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ) == NULL)
			return -rte_errno;
	}
	return 0;
}

void te_rings_free(const char *name, int count)
{
	char ring[RTE_RING_NAMESIZE];

	for (int i = 0; i < count; i++) {
		snprintf(ring, sizeof(ring), "ETH_RXTX%d_%s", i, name);
		rte_ring_free(rte_ring_lookup(ring));
	}
}
