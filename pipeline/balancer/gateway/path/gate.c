/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
 *
 * The kernel lets only programs under a license compatible with the GPL call some of its functions. So this file, and gate.o,
 * are under both licenses. All other files of Penstock are under the Apache License alone.
 */
/* The path of packets through appliances, as four programs of the kernel's traffic control.
 *
 * to_appliance   ingress of an attachment: gives the packet a flow and an appliance, wraps it in GENEVE, sends it to gate 0
 * to_neighbour   ingress of gate 1:        sends the wrapped packet, segmented by now, to the appliance's link
 * from_appliance ingress of such a link:   takes what comes back in GENEVE, and sends it to gate 1
 * to_network     ingress of gate 0:        checks it, unwraps it, sends it to the attachment that has its destination
 *
 * README.md says what each packet means. setup/gate.sh builds gate.o. Addresses and ports are in network order.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define GENEVE_PORT 6081
#define AWS_CLASS 0x0108
#define MAX_PACKET 8500
#define FRAGMENT_OFFSET 0x1fff
#define MORE_FRAGMENTS 0x2000
#define EXTENSIONS 4
#define GATES 2
#define SETTINGS 1
/* Whether another home's path takes packets of appliances from the same links. */
#define IS_SHARED 0
#define MAX_FLOWS 262144
#define MAX_FRESH 131072
/* 128 rows of 4,096: see `slot_rows.py`. */
#define MAX_SLOTS 524288
#define MANY 4096
#define COUNTED 65536
#define IPV6_KEY 0x80000000

/* The order is that of DROP_REASONS in records.py. */
enum reason { MALFORMED, TOO_LARGE, NO_TARGET, TABLE_FULL, NO_FLOW, NOT_GENEVE, NOT_A_TARGET, UNKNOWN_FLOW, NO_NETWORK, FAILED };
/* BY_HIGH: the higher end began the flow. KEPT: the flow is not among the fresh ones any more. */
enum seen { LOW = 1, HIGH = 2, FIN_LOW = 4, FIN_HIGH = 8, RST_LOW = 16, RST_HIGH = 32, BY_HIGH = 64, KEPT = 128 };
enum tcp { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

/* `endpoint`: its number, and the highest bit for IPv6. */
struct key { __u32 endpoint, low[4], high[4]; __be16 low_port, high_port; __be32 protocol; };
struct flow { __u64 last_seen, packets, bytes; __u32 target, cookie, seen, unused; };
struct attachment { __u64 endpoint_id, id; __u32 endpoint, pool; };
struct origin_key { __u64 endpoint_id, attachment_id; };
struct origin { __u32 endpoint, pool; };
struct pool { __u64 tcp_idle, other_idle, closing_idle; __u32 fields, first_slot, slots, unused; };
struct target { __be32 address, source; __be16 port; __u16 mtu; };
struct link { __be32 source, next_hop; __u32 ifindex; };
struct moved_key { __u32 pool, target; };
struct route_key { __u32 bits; __be32 endpoint, version, address[4]; };
struct route { __u32 ifindex; __u8 address[6], unused[2]; };
struct count_key { __u32 endpoint, of; };
struct traffic { __u64 flows, packets, bytes; };
struct option { __be16 class; __u8 type, words; } __attribute__((packed));
struct header {
  struct iphdr ip; struct udphdr udp;
  __u8 version, flags; __be16 protocol; __be32 network;
  struct option endpoint; __u64 endpoint_id;
  struct option attachment; __u64 attachment_id;
  struct option flow; __u32 cookie;
} __attribute__((packed));
_Static_assert(sizeof(struct header) == 68, "68 bytes, as in AWS");

/* What the key of a packet was made of. `is_report`: an error of ICMP about a packet of the flow. `flags`: of TCP. */
struct packet { struct key key; __u32 headers; __u8 flags, is_tcp, from_high, is_report; };
struct ends { __u32 source[4], target[4]; __u32 payload, protocol, fragment; };

struct map { __u32 type, key, value, entries, flags; };
#define MAP(name, type, k, v, entries, flags) struct map SEC("maps") name = { type, sizeof(k), sizeof(v), entries, flags }
/* A fresh flow becomes one of `flows` when the end that began it goes on after an answer. So packets that nobody answers,
 * of however many flows, only push out each other. */
MAP(flows, BPF_MAP_TYPE_HASH, struct key, struct flow, MAX_FLOWS, BPF_F_NO_PREALLOC);
MAP(fresh, BPF_MAP_TYPE_LRU_HASH, struct key, struct flow, MAX_FRESH, 0);
MAP(attachments, BPF_MAP_TYPE_HASH, __u32, struct attachment, MANY, BPF_F_NO_PREALLOC);
MAP(origins, BPF_MAP_TYPE_HASH, struct origin_key, struct origin, MANY, BPF_F_NO_PREALLOC);
MAP(pools, BPF_MAP_TYPE_HASH, __u32, struct pool, MANY, BPF_F_NO_PREALLOC);
MAP(slots, BPF_MAP_TYPE_ARRAY, __u32, __u32, MAX_SLOTS, 0);
MAP(targets, BPF_MAP_TYPE_HASH, __u32, struct target, MANY, BPF_F_NO_PREALLOC);
MAP(links, BPF_MAP_TYPE_HASH, __be32, struct link, MANY, BPF_F_NO_PREALLOC);
MAP(moved, BPF_MAP_TYPE_HASH, struct moved_key, __u32, COUNTED, BPF_F_NO_PREALLOC);
MAP(routes, BPF_MAP_TYPE_LPM_TRIE, struct route_key, struct route, COUNTED, BPF_F_NO_PREALLOC);
MAP(gates, BPF_MAP_TYPE_ARRAY, __u32, __u32, GATES, 0);
MAP(settings, BPF_MAP_TYPE_ARRAY, __u32, __u32, SETTINGS, 0);
MAP(traffic, BPF_MAP_TYPE_PERCPU_HASH, struct count_key, struct traffic, COUNTED, BPF_F_NO_PREALLOC);
MAP(drops, BPF_MAP_TYPE_PERCPU_HASH, struct count_key, __u64, COUNTED, BPF_F_NO_PREALLOC);

static __always_inline int drop(__u32 endpoint, __u32 reason) {
  struct count_key key = { endpoint, reason };
  __u64 one = 1, *count = bpf_map_lookup_elem(&drops, &key);
  if (count) (*count)++;
  else bpf_map_update_elem(&drops, &key, &one, BPF_NOEXIST);
  return TC_ACT_SHOT;
}

static __always_inline void count(__u32 endpoint, __u32 target, __u64 flows, __u64 packets, __u64 bytes) {
  struct count_key key = { endpoint, target };
  struct traffic first = { flows, packets, bytes }, *had = bpf_map_lookup_elem(&traffic, &key);
  if (!had) { bpf_map_update_elem(&traffic, &key, &first, BPF_NOEXIST); return; }
  had->flows += flows; had->packets += packets; had->bytes += bytes;
}

static __always_inline int is_geneve(const struct header *h) {
  return h->version == 8 && !h->flags && (h->protocol == bpf_htons(ETH_P_IP) || h->protocol == bpf_htons(ETH_P_IPV6))
    && h->endpoint.class == bpf_htons(AWS_CLASS) && h->endpoint.type == 1 && h->endpoint.words == 2
    && h->attachment.class == bpf_htons(AWS_CLASS) && h->attachment.type == 2 && h->attachment.words == 2
    && h->flow.class == bpf_htons(AWS_CLASS) && h->flow.type == 3 && h->flow.words == 1;
}

static __always_inline int read_ipv4(struct __sk_buff *skb, __u32 at, struct ends *found) {
  struct iphdr ip;
  if (bpf_skb_load_bytes(skb, at, &ip, sizeof ip) || ip.version != 4 || ip.ihl < 5) return -1;
  found->source[0] = ip.saddr; found->target[0] = ip.daddr;
  found->protocol = ip.protocol; found->payload = at + ip.ihl * 4;
  found->fragment = ip.frag_off & bpf_htons(MORE_FRAGMENTS | FRAGMENT_OFFSET);
  return 0;
}

static __always_inline int read_ipv6(struct __sk_buff *skb, __u32 at, struct ends *found) {
  __u8 ip[40], extension[2];
  if (bpf_skb_load_bytes(skb, at, ip, sizeof ip) || ip[0] >> 4 != 6) return -1;
  __builtin_memcpy(found->source, ip + 8, 16);
  __builtin_memcpy(found->target, ip + 24, 16);
  __u32 next = ip[6], payload = at + sizeof ip;
#pragma unroll
  for (int each = 0; each < EXTENSIONS; each++) {
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS) break;
    if (bpf_skb_load_bytes(skb, payload, extension, sizeof extension)) return -1;
    next = extension[0]; payload += 8 + extension[1] * 8;
  }
  if (next == IPPROTO_FRAGMENT) {
    if (bpf_skb_load_bytes(skb, payload, extension, 1)) return -1;
    next = extension[0]; payload += 8; found->fragment = 1;
  }
  found->protocol = next; found->payload = payload;
  return 0;
}

static __always_inline int read_ends(struct __sk_buff *skb, __u32 at, int is_ipv6, struct ends *found) {
  __builtin_memset(found, 0, sizeof *found);
  return is_ipv6 ? read_ipv6(skb, at, found) : read_ipv4(skb, at, found);
}

static __always_inline int is_icmp_error(struct __sk_buff *skb, const struct ends *ends) {
  __u8 type;
  if (ends->fragment || (ends->protocol != IPPROTO_ICMP && ends->protocol != IPPROTO_ICMPV6)) return 0;
  if (bpf_skb_load_bytes(skb, ends->payload, &type, 1)) return 0;
  if (ends->protocol == IPPROTO_ICMPV6) return type >= 1 && type <= 4;
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* Both directions have one key: the lower address, or port if they are equal, comes first. */
static __always_inline int is_from_high(const struct ends *ends, const __be16 *ports) {
#pragma unroll
  for (int word = 0; word < 4; word++) {
    __u32 source = bpf_ntohl(ends->source[word]), target = bpf_ntohl(ends->target[word]);
    if (source != target) return source > target;
  }
  return bpf_ntohs(ports[0]) > bpf_ntohs(ports[1]);
}

/* Returns -1 for a malformed packet. `at`: where the header of IP begins. */
static __always_inline int read_packet(struct __sk_buff *skb, __u32 at, int is_ipv6, __u32 fields, struct packet *packet) {
  struct ends ends, reported;
  __be16 ports[2] = { 0, 0 };
  __u8 tcp[2];
  if (read_ends(skb, at, is_ipv6, &ends)) return -1;
  if (is_icmp_error(skb, &ends) && !read_ends(skb, ends.payload + 8, is_ipv6, &reported)) {
    ends = reported; packet->is_report = 1;
  }
  packet->headers = ends.payload - at + 8;
  if (!ends.fragment && (ends.protocol == IPPROTO_TCP || ends.protocol == IPPROTO_UDP)) {
    if (bpf_skb_load_bytes(skb, ends.payload, ports, sizeof ports)) return -1;
    packet->is_tcp = ends.protocol == IPPROTO_TCP;
    if (packet->is_tcp && !packet->is_report) {
      if (bpf_skb_load_bytes(skb, ends.payload + 12, tcp, sizeof tcp)) return -1;
      packet->flags = tcp[1];
      packet->headers = ends.payload - at + (tcp[0] >> 4) * 4;
    }
  }
  packet->from_high = is_from_high(&ends, ports);
  if (packet->from_high) {
    __builtin_memcpy(packet->key.low, ends.target, 16); __builtin_memcpy(packet->key.high, ends.source, 16);
    packet->key.low_port = ports[1]; packet->key.high_port = ports[0];
  } else {
    __builtin_memcpy(packet->key.low, ends.source, 16); __builtin_memcpy(packet->key.high, ends.target, 16);
    packet->key.low_port = ports[0]; packet->key.high_port = ports[1];
  }
  if (fields != 5) packet->key.low_port = packet->key.high_port = 0;
  if (fields >= 3) packet->key.protocol = bpf_htonl(ends.protocol);
  return 0;
}

static __always_inline __u32 rotated(__u32 word, int bits) { return word << bits | word >> (32 - bits); }

/* MurmurHash3, 32 bits, of the key without its endpoint. The same as `FlowKey.hash`. */
static __always_inline __u32 hash(const struct key *key) {
  const __u32 *words = (const __u32 *)key + 1;
  __u32 found = 0;
#pragma unroll
  for (int each = 0; each < 10; each++) {
    found ^= rotated(words[each] * 0xcc9e2d51, 15) * 0x1b873593;
    found = rotated(found, 13) * 5 + 0xe6546b64;
  }
  found ^= 40;
  found = (found ^ found >> 16) * 0x85ebca6b;
  found = (found ^ found >> 13) * 0xc2b2ae35;
  return found ^ found >> 16;
}

static __always_inline __u32 chosen(const struct pool *pool, const struct key *key) {
  if (!pool->slots) return 0;
  __u32 slot = pool->first_slot + hash(key) % pool->slots, *target = bpf_map_lookup_elem(&slots, &slot);
  return target ? *target : 0;
}

/* Nanoseconds without a packet after which the flow ends. */
static __always_inline __u64 idle_time(const struct pool *pool, const struct flow *flow, __u32 protocol) {
  if (flow->seen & (RST_LOW | RST_HIGH) || (flow->seen & (FIN_LOW | FIN_HIGH)) == (FIN_LOW | FIN_HIGH)) return pool->closing_idle;
  return protocol == IPPROTO_TCP ? pool->tcp_idle : pool->other_idle;
}

/* Flows without ports have several connections, so none of them closes the flow. */
static __always_inline __u32 sides(const struct packet *packet, __u32 fields, __u32 seen) {
  __u32 reset = packet->from_high ? RST_HIGH : RST_LOW;
  if (packet->is_report) return seen;
  seen |= packet->from_high ? HIGH : LOW;
  if (!packet->is_tcp || fields != 5) return seen;
  if (packet->flags & TCP_FIN) seen |= packet->from_high ? FIN_HIGH : FIN_LOW;
  /* An end that goes on has not reset its connection: the RST was forged, and the other end ignored it. */
  return packet->flags & TCP_RST ? seen | reset : seen & ~reset;
}

static __always_inline struct flow *known(const struct key *key) {
  struct flow *flow = bpf_map_lookup_elem(&flows, key);
  if (!flow) flow = bpf_map_lookup_elem(&fresh, key);
  /* Another processor may have moved it in between. */
  return flow ? flow : bpf_map_lookup_elem(&flows, key);
}

/* Returns a flow, moved from the fresh ones if this packet shows that both ends take part. If there are too many others,
 * it stays among the fresh ones. */
static __always_inline struct flow *kept(const struct packet *packet, struct flow *flow) {
  __u32 by_high = flow->seen & BY_HIGH ? 1 : 0, both = LOW | HIGH;
  if (flow->seen & KEPT || (flow->seen & both) != both || packet->from_high != by_high) return flow;
  if (packet->is_report || packet->flags & (TCP_SYN | TCP_RST)) return flow;
  struct flow copy = *flow, *moved;
  bpf_map_update_elem(&flows, &packet->key, &copy, BPF_NOEXIST);
  moved = bpf_map_lookup_elem(&flows, &packet->key);
  if (!moved) return flow;
  moved->seen |= KEPT;
  bpf_map_delete_elem(&fresh, &packet->key);
  return moved;
}

/* Link-local and multicast packets are for the link alone, and no packets of a network. */
static __always_inline int is_of_link(const struct key *key, int is_ipv6) {
  if (!is_ipv6) return bpf_ntohl(key->high[0]) >= 0xe0000000;
  return bpf_ntohl(key->high[0]) >= 0xfe800000;
}

static __always_inline int wrap(struct __sk_buff *skb, const struct attachment *from, const struct target *target, __u32 cookie, int is_ipv6) {
  struct header h = {};
  __u32 length = skb->len - ETH_HLEN, sum = 0;
  __u16 *words = (__u16 *)&h;
  __be16 ethernet = bpf_htons(ETH_P_IP);
  if (bpf_skb_adjust_room(skb, sizeof h, BPF_ADJ_ROOM_MAC,
      BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP)) return -1;
  h.ip.version = 4; h.ip.ihl = 5; h.ip.ttl = 64; h.ip.protocol = IPPROTO_UDP;
  h.ip.saddr = target->source; h.ip.daddr = target->address;
  /* One that is segmented later gets its lengths then. */
  if (length + sizeof h <= 0xffff) h.ip.tot_len = bpf_htons(length + sizeof h);
#pragma unroll
  for (int word = 0; word < 10; word++) sum += words[word];
  sum = (sum & 0xffff) + (sum >> 16);
  h.ip.check = ~(sum + (sum >> 16));
  h.udp.source = bpf_htons(0xc000 | (cookie & 0x3fff)); h.udp.dest = target->port;
  h.udp.len = bpf_htons(length + sizeof h - sizeof h.ip);
  h.version = 8; h.protocol = bpf_htons(is_ipv6 ? ETH_P_IPV6 : ETH_P_IP);
  h.endpoint.class = h.attachment.class = h.flow.class = bpf_htons(AWS_CLASS);
  h.endpoint.type = 1; h.endpoint.words = 2; h.endpoint_id = from->endpoint_id;
  h.attachment.type = 2; h.attachment.words = 2; h.attachment_id = from->id;
  h.flow.type = 3; h.flow.words = 1; h.cookie = cookie;
  if (bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof h, 0)) return -1;
  return is_ipv6 ? bpf_skb_store_bytes(skb, 12, &ethernet, sizeof ethernet, 0) : 0;
}

SEC("tc/to_appliance") int to_appliance(struct __sk_buff *skb) {
  __u32 ifindex = skb->ifindex, gate = 0, length = skb->len - ETH_HLEN;
  struct packet packet = {};
  struct flow made = {}, *flow;
  int is_ipv6 = skb->protocol == bpf_htons(ETH_P_IPV6), is_new = 0;
  /* ARP has no addresses of a network. */
  if (!is_ipv6 && skb->protocol != bpf_htons(ETH_P_IP)) return TC_ACT_SHOT;
  struct attachment *from = bpf_map_lookup_elem(&attachments, &ifindex);
  struct pool *pool = from ? bpf_map_lookup_elem(&pools, &from->pool) : 0;
  if (!from || !pool) return drop(0, FAILED);
  packet.key.endpoint = from->endpoint | (is_ipv6 ? IPV6_KEY : 0);
  if (read_packet(skb, ETH_HLEN, is_ipv6, pool->fields, &packet)) return drop(from->endpoint, MALFORMED);
  if (is_of_link(&packet.key, is_ipv6)) return TC_ACT_SHOT;
  __u32 segments = skb->gso_size && skb->gso_segs ? skb->gso_segs : 1;
  __u32 size = skb->gso_size ? packet.headers + skb->gso_size : length;
  if (size > MAX_PACKET) return drop(from->endpoint, TOO_LARGE);
  __u64 now = bpf_ktime_get_ns();
  int is_syn = packet.is_tcp && (packet.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
  flow = known(&packet.key);
  if (flow) {
    __u64 idle = idle_time(pool, flow, bpf_ntohl(packet.key.protocol));
    /* A port that is used again is a new flow. */
    if (now - flow->last_seen > idle || (is_syn && idle == pool->closing_idle)) {
      bpf_map_delete_elem(&flows, &packet.key);
      bpf_map_delete_elem(&fresh, &packet.key);
      flow = 0;
    }
  }
  if (!flow) {
    if (packet.is_tcp && !is_syn) return drop(from->endpoint, NO_FLOW);
    made.last_seen = now; made.cookie = bpf_get_prandom_u32();
    made.seen = packet.from_high ? BY_HIGH : 0;
    made.target = chosen(pool, &packet.key);
    if (!made.target) return drop(from->endpoint, NO_TARGET);
    /* Another processor may have been first. */
    is_new = !bpf_map_update_elem(&fresh, &packet.key, &made, BPF_NOEXIST);
    flow = known(&packet.key);
    if (!flow) return drop(from->endpoint, TABLE_FULL);
  }
  flow = kept(&packet, flow);
  __u32 number = flow->target;
  struct moved_key moving = { from->pool, number };
  struct target *target = bpf_map_lookup_elem(&targets, &number);
  if (!target || bpf_map_lookup_elem(&moved, &moving)) {
    __u32 other = chosen(pool, &packet.key);
    if (!other) return drop(from->endpoint, NO_TARGET);
    if (other != number) {
      flow->target = number = other;
      target = bpf_map_lookup_elem(&targets, &number);
      is_new = 1;
    }
  }
  if (!target) return drop(from->endpoint, NO_TARGET);
  if (size + sizeof(struct header) > target->mtu) return drop(from->endpoint, TOO_LARGE);
  __u64 bytes = length + (__u64)(segments - 1) * packet.headers;
  flow->last_seen = now;
  flow->seen = sides(&packet, pool->fields, flow->seen);
  __sync_fetch_and_add(&flow->packets, segments);
  __sync_fetch_and_add(&flow->bytes, bytes);
  count(from->endpoint, number, is_new, segments, bytes);
  __u32 *ready = bpf_map_lookup_elem(&gates, &gate);
  if (!ready || wrap(skb, from, target, flow->cookie, is_ipv6)) return drop(from->endpoint, FAILED);
  return bpf_redirect(*ready, 0);
}

SEC("tc/to_neighbour") int to_neighbour(struct __sk_buff *skb) {
  __be32 address;
  struct bpf_redir_neigh neighbour;
  /* What the kernel itself sends at each device, as a machine that forwards IPv6 does. */
  if (skb->protocol != bpf_htons(ETH_P_IP)) return TC_ACT_SHOT;
  if (bpf_skb_load_bytes(skb, ETH_HLEN + __builtin_offsetof(struct iphdr, daddr), &address, sizeof address)) return TC_ACT_SHOT;
  struct link *link = bpf_map_lookup_elem(&links, &address);
  if (!link) return drop(0, NO_TARGET);
  __builtin_memset(&neighbour, 0, sizeof neighbour);
  neighbour.nh_family = 2 /* AF_INET */; neighbour.ipv4_nh = link->next_hop;
  return bpf_redirect_neigh(link->ifindex, &neighbour, sizeof neighbour, 0);
}

SEC("tc/from_appliance") int from_appliance(struct __sk_buff *skb) {
  struct header h;
  __u32 gate = 1;
  if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, ETH_HLEN, &h, sizeof h)) return TC_ACT_UNSPEC;
  if (h.ip.protocol != IPPROTO_UDP || h.ip.ihl != 5 || h.ip.frag_off & bpf_htons(FRAGMENT_OFFSET)) return TC_ACT_UNSPEC;
  if (h.udp.dest != bpf_htons(GENEVE_PORT)) return TC_ACT_UNSPEC;
  struct link *link = bpf_map_lookup_elem(&links, &h.ip.saddr);
  int is_target = link && link->source == h.ip.daddr;
  if (!is_geneve(&h)) return is_target ? drop(0, NOT_GENEVE) : TC_ACT_UNSPEC;
  struct origin_key from = { h.endpoint_id, h.attachment_id };
  struct origin *origin = bpf_map_lookup_elem(&origins, &from);
  if (!origin) {
    /* It may belong to the path of another home, whose program is asked next. Otherwise, the kernel refuses it. */
    __u32 setting = IS_SHARED, *is_shared = bpf_map_lookup_elem(&settings, &setting);
    if (is_target && is_shared && !*is_shared) drop(0, UNKNOWN_FLOW);
    return TC_ACT_UNSPEC;
  }
  if (!is_target) return drop(origin->endpoint, NOT_A_TARGET);
  /* The link of the appliance takes smaller packets than ours. The other fragments come to nothing in the kernel. */
  if (h.ip.frag_off & bpf_htons(MORE_FRAGMENTS)) return drop(origin->endpoint, TOO_LARGE);
  __u32 *ready = bpf_map_lookup_elem(&gates, &gate);
  return ready ? bpf_redirect(*ready, 0) : drop(origin->endpoint, FAILED);
}

SEC("tc/to_network") int to_network(struct __sk_buff *skb) {
  struct header h;
  struct packet packet = {};
  struct route_key destination = {};
  if (bpf_skb_load_bytes(skb, ETH_HLEN, &h, sizeof h) || !is_geneve(&h)) return TC_ACT_SHOT;
  struct origin_key from = { h.endpoint_id, h.attachment_id };
  struct origin *origin = bpf_map_lookup_elem(&origins, &from);
  struct pool *pool = origin ? bpf_map_lookup_elem(&pools, &origin->pool) : 0;
  if (!origin || !pool) return drop(0, UNKNOWN_FLOW);
  int is_ipv6 = h.protocol == bpf_htons(ETH_P_IPV6), at = ETH_HLEN + sizeof h;
  packet.key.endpoint = origin->endpoint | (is_ipv6 ? IPV6_KEY : 0);
  if (read_packet(skb, at, is_ipv6, pool->fields, &packet)) return drop(origin->endpoint, MALFORMED);
  struct flow *flow = known(&packet.key);
  if (!flow || flow->cookie != h.cookie) return drop(origin->endpoint, UNKNOWN_FLOW);
  /* Only the appliance that has the flow now. A former one knows the cookie too. */
  __u32 number = flow->target;
  struct target *target = bpf_map_lookup_elem(&targets, &number);
  if (!target || target->address != h.ip.saddr) return drop(origin->endpoint, NOT_A_TARGET);
  destination.bits = 192; destination.endpoint = bpf_htonl(origin->endpoint); destination.version = bpf_htonl(is_ipv6 ? 6 : 4);
  if (bpf_skb_load_bytes(skb, at + (is_ipv6 ? 24 : 16), destination.address, is_ipv6 ? 16 : 4))
    return drop(origin->endpoint, MALFORMED);
  struct route *route = bpf_map_lookup_elem(&routes, &destination);
  if (!route) return drop(origin->endpoint, NO_NETWORK);
  /* Without the flags that name the inner family, which kernels before 6.3 do not know. */
  if (bpf_skb_adjust_room(skb, -(int)sizeof h, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO)) return drop(origin->endpoint, FAILED);
  if (bpf_skb_store_bytes(skb, 0, route->address, ETH_ALEN, 0) || bpf_skb_store_bytes(skb, 12, &h.protocol, 2, 0))
    return drop(origin->endpoint, FAILED);
  return bpf_redirect(route->ifindex, 0);
}

char _license[] SEC("license") = "GPL";
/* The hash of this file, given by the build: a test compares them. */
char _source[] SEC("source") = SOURCE;
