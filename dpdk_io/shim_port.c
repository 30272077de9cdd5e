/* Ports: set-up, counters, close, and steering. Every call returns 0 or more on success and a negative errno else. */
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mempool.h>

struct te_port_info {
	int64_t max_rx_queues, max_tx_queues, rss_types, key_bytes, reta_size, rx_offloads, tx_offloads, socket, mtu;
	char driver[32];
};

int te_port_info(uint16_t port, struct te_port_info *out)
{
	struct rte_eth_dev_info info;
	uint16_t mtu = 0;
	int r = rte_eth_dev_info_get(port, &info);

	if (r != 0)
		return r;
	rte_eth_dev_get_mtu(port, &mtu);
	*out = (struct te_port_info){
		.max_rx_queues = info.max_rx_queues, .max_tx_queues = info.max_tx_queues,
		.rss_types = info.flow_type_rss_offloads, .key_bytes = info.hash_key_size, .reta_size = info.reta_size,
		.rx_offloads = info.rx_offload_capa, .tx_offloads = info.tx_offload_capa,
		.socket = rte_eth_dev_socket_id(port), .mtu = mtu,
	};
	snprintf(out->driver, sizeof(out->driver), "%s", info.driver_name);
	return 0;
}

struct te_port_conf {
	int64_t queues, rxd, txd, loopback, tx_offloads, rss_types, key_bytes;
	uint8_t key[64];
};

static int te_queues(uint16_t port, const struct te_port_conf *want, struct rte_mempool **pools)
{
	uint16_t rxd = want->rxd, txd = want->txd;
	int socket = rte_eth_dev_socket_id(port);
	int r = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rxd, &txd);

	for (int q = 0; r == 0 && q < want->queues; q++) {
		r = rte_eth_rx_queue_setup(port, q, rxd, socket, NULL, pools[q]);
		if (r == 0)
			r = rte_eth_tx_queue_setup(port, q, txd, socket, NULL);
	}
	return r;
}

int te_port_start(uint16_t port, const struct te_port_conf *want, struct rte_mempool **pools)
{
	struct rte_eth_conf conf = {.lpbk_mode = want->loopback};
	struct rte_eth_dev_info info;
	int r = rte_eth_dev_info_get(port, &info);

	if (r != 0)
		return r;
	conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	conf.txmode.offloads = info.tx_offload_capa & (RTE_ETH_TX_OFFLOAD_MULTI_SEGS | want->tx_offloads);
	if (want->queues > 1 && want->rss_types & info.flow_type_rss_offloads) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = want->rss_types & info.flow_type_rss_offloads;
		conf.rx_adv_conf.rss_conf.rss_key = want->key_bytes > 0 ? (uint8_t *)(uintptr_t)want->key : NULL;
		conf.rx_adv_conf.rss_conf.rss_key_len = want->key_bytes;
	}
	r = rte_eth_dev_configure(port, want->queues, want->queues, &conf);
	if (r == 0)
		r = te_queues(port, want, pools);
	return r == 0 ? rte_eth_dev_start(port) : r;
}

int te_port_promiscuous(uint16_t port, int on)
{
	int r = on ? rte_eth_promiscuous_enable(port) : rte_eth_promiscuous_disable(port);

	return r != 0 && r != -ENOTSUP ? r : on ? rte_eth_allmulticast_enable(port) : rte_eth_allmulticast_disable(port);
}

int te_port_mac(uint16_t port, struct rte_ether_addr *mac)
{
	return rte_eth_macaddr_get(port, mac);
}

int te_port_link(uint16_t port, int64_t *up, int64_t *mbps)
{
	struct rte_eth_link link;
	int r = rte_eth_link_get_nowait(port, &link);

	*up = link.link_status;
	*mbps = link.link_speed;
	return r;
}

int te_port_stats(uint16_t port, uint64_t *out)
{
	struct rte_eth_stats s;
	int r = rte_eth_stats_get(port, &s);

	if (r == 0)
		memcpy(out, (uint64_t[]){s.ipackets, s.opackets, s.ibytes, s.obytes, s.imissed, s.ierrors, s.oerrors, s.rx_nombuf},
		       8 * sizeof(uint64_t));
	return r;
}

/* The number of extended counters, and up to *n* of them: names of 64 bytes and values. */
int te_port_xstats(uint16_t port, struct rte_eth_xstat_name *names, uint64_t *values, unsigned n)
{
	int count = rte_eth_xstats_get_names(port, NULL, 0);
	struct rte_eth_xstat stats[n > 0 ? n : 1];

	if (count <= 0 || (unsigned)count > n)
		return count;
	rte_eth_xstats_get_names(port, names, n);
	count = rte_eth_xstats_get(port, stats, n);
	for (int i = 0; i < count; i++)
		values[i] = stats[i].value;
	return count;
}

/* Stop and close a port and remove its device; the first error wins, and nothing is left out for it. Drivers of kernel
 * interfaces would leave them promiscuous. */
int te_port_close(uint16_t port)
{
	struct rte_eth_dev_info info;
	struct rte_device *device = rte_eth_dev_info_get(port, &info) == 0 ? info.device : NULL;
	int stopped, closed, removed;

	rte_eth_promiscuous_disable(port);
	stopped = rte_eth_dev_stop(port);
	closed = rte_eth_dev_close(port);
	removed = device != NULL ? rte_dev_remove(device) : 0;
	return stopped != 0 ? stopped : closed != 0 ? closed : removed;
}

/* ---- steering ---- */

int te_rss_reta(uint16_t port, const uint16_t *queues, uint16_t size)
{
	struct rte_eth_rss_reta_entry64 groups[(size + RTE_ETH_RETA_GROUP_SIZE - 1) / RTE_ETH_RETA_GROUP_SIZE];

	for (int i = 0; i < size; i++) {
		groups[i / RTE_ETH_RETA_GROUP_SIZE].mask = ~0ull;
		groups[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = queues[i];
	}
	return rte_eth_dev_rss_reta_update(port, groups, size);
}

int te_rss_key(uint16_t port, uint8_t *key, uint8_t bytes, uint64_t types)
{
	struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = bytes, .rss_hf = types};

	return rte_eth_dev_rss_hash_update(port, &conf);
}

/* IPv4 destination and TCP destination port, network byte order, each under its mask, to one queue; NULL and *why* on refusal. */
struct rte_flow *te_flow_to_queue(uint16_t port, uint16_t queue, rte_be32_t ip, rte_be32_t ip_mask, rte_be16_t dport,
				  rte_be16_t dport_mask, char *why, int size)
{
	struct rte_flow_item_ipv4 ip_spec = {.hdr.dst_addr = ip}, ip_bits = {.hdr.dst_addr = ip_mask};
	struct rte_flow_item_tcp tcp_spec = {.hdr.dst_port = dport}, tcp_bits = {.hdr.dst_port = dport_mask};
	struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH},
		{.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = ip_mask ? &ip_spec : NULL, .mask = ip_mask ? &ip_bits : NULL},
		{.type = RTE_FLOW_ITEM_TYPE_TCP, .spec = dport_mask ? &tcp_spec : NULL, .mask = dport_mask ? &tcp_bits : NULL},
		{.type = RTE_FLOW_ITEM_TYPE_END},
	};
	struct rte_flow_action_queue to = {.index = queue};
	struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to}, {.type = RTE_FLOW_ACTION_TYPE_END}};
	struct rte_flow_attr ingress = {.ingress = 1};
	struct rte_flow_error error = {0};
	struct rte_flow *flow = rte_flow_create(port, &ingress, pattern, actions, &error);

	if (flow == NULL)
		snprintf(why, size, "%s", error.message ? error.message : rte_strerror(rte_errno));
	return flow;
}

int te_flow_flush(uint16_t port)
{
	struct rte_flow_error error;

	return rte_flow_flush(port, &error);
}
