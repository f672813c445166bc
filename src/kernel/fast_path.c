/* The bypass' fast path: runs in the kernel (BPF), for each packet that comes in on a link of
 * bypass.fast-path, before anything else of the kernel sees it.
 *
 * What is of a unit that is let by, and of none of the gate's own connections, is sent on from
 * here: routed by the kernel's own tables, counted, and neither nftables nor connection tracking
 * hears of it. Everything else goes the way that it went without this program, and there the table
 * of nftables decides, which lets by the same units (see bypass/bypass_rules.h): whatever is not
 * plain among it, and all once gate25-bypassd is dead for long. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bypass/fast_path_maps.h"

#define SMTP        bpf_htons(25)
#define FRAGMENT    bpf_htons(0x3fff)     /* offset and "more follow" */
#define MULTICAST4  bpf_htonl(0xe0000000) /* and beyond: nobody's */
#define MULTICAST6  0xff
#define PADDED      46 /* Ethernet's shortest */
#define WORD        4
#define WORDS_PLAIN 5 /* an IPv4 header without options */
#define FAMILY4     2 /* AF_INET and AF_INET6: their header is not for here */
#define FAMILY6     10
#define OTHERS      TC_ACT_UNSPEC /* the next program's, or the kernel's as ever */

/* Where two branches do the same at different places, the compiler would make one of them, at a
 * place that is chosen before: the kernel takes that from who has CAP_PERFMON alone. */
#define KEPT_APART barrier()

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1); /* gate25-bypassd says how many */
    __type(key, fast_path_key4);
    __type(value, struct fast_path_unit);
} units4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, fast_path_key6);
    __type(value, struct fast_path_unit);
} units6 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct fast_path_state);
} state SEC(".maps");

/* Of a packet to or from a mail server: is it the subscriber's, and the first of a connection? */
enum way { WAY_NONE, WAY_NEW, WAY_UP, WAY_DOWN };

/* A packet on its way through here: what is known of it, and what the kernel is asked about it, one
 * question after another in the same place. That is each core's own, and not on the stack: behind a
 * write there the kernel puts a fence (Spectre's fourth variant; it trusts who has CAP_PERFMON
 * alone), and fifty of those took longer than all the rest. For the same reason some functions are
 * not inline: what has no register left goes to the stack. None of those returns a pointer: before
 * Linux 6.16 one that is known to be NULL behind a call is taken for an access to it. */
struct transit {
    union {
        fast_path_key4 key4;
        fast_path_key6 key6;
        struct bpf_sock_tuple tuple;
        struct bpf_fib_lookup route;
        struct bpf_redir_neigh next;
    };
    __u64 now_ns, unit6_mask;
    enum way way;
    __u32 length; /* from its IP header on */
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct transit);
} transits SEC(".maps");

static __always_inline bool is_mail(const struct tcphdr *tcp)
{
    return tcp->dest == SMTP || tcp->source == SMTP;
}

static __always_inline enum way way_of(const struct tcphdr *tcp)
{
    const bool first = tcp->syn && !tcp->ack;

    if (tcp->dest == SMTP) {
        return first ? WAY_NEW : WAY_UP;
    }
    return first ? WAY_NONE : WAY_DOWN;
}

/* Are such packets let by now? */
static __noinline bool is_open(struct transit *t)
{
    const __u32 only = 0;
    const struct fast_path_state *s = bpf_map_lookup_elem(&state, &only);

    t->now_ns = bpf_ktime_get_coarse_ns();
    if (!s || t->way == WAY_NONE || t->now_ns >= s->open_ns ||
        (t->way == WAY_NEW && t->now_ns >= s->fresh_ns)) {
        return false;
    }
    t->unit6_mask = s->unit6_mask;
    return true;
}

/* NULL: it is not let by. */
static __always_inline struct transit *begin(const struct tcphdr *tcp, __u32 length)
{
    const __u32 only = 0;
    struct transit *t = bpf_map_lookup_elem(&transits, &only);

    if (!t) {
        return NULL;
    }
    t->way = way_of(tcp);
    t->length = length;
    return is_open(t) ? t : NULL;
}

static __always_inline bool is_let_by(const struct fast_path_unit *unit, const struct transit *t)
{
    return unit && (unit->end_ns == 0 || t->now_ns < unit->end_ns);
}

/* A connection that the gate holds stays with it; who listens on any address holds none. */
static __noinline bool gate_has_it(struct __sk_buff *packet, struct transit *t, __u32 size)
{
    struct bpf_sock *socket = bpf_skc_lookup_tcp(packet, &t->tuple, size, BPF_F_CURRENT_NETNS, 0);
    bool has;

    if (!socket) {
        return false;
    }
    has = socket->state != BPF_TCP_LISTEN;
    bpf_sk_release(socket);
    return has;
}

static __always_inline void count(struct fast_path_unit *unit, const struct transit *t)
{
    if (t->way == WAY_DOWN) {
        (void)__sync_fetch_and_add(&unit->down, t->length);
        return;
    }
    (void)__sync_fetch_and_add(&unit->up, t->length);
    KEPT_APART;
    if (t->way == WAY_NEW) {
        (void)__sync_fetch_and_add(&unit->opened, 1);
        KEPT_APART;
    }
}

/* Many packets in one, which are taken apart on their way out. */
static __always_inline bool is_many(const struct __sk_buff *packet)
{
    return packet->gso_size > 0;
}

/* How long it is from its IP header on, which says `said`: short ones are padded by Ethernet. 0: it
 * is not as it says. */
static __always_inline __u32 length_of(const struct __sk_buff *packet, __u32 said)
{
    const __u32 there = packet->len - sizeof(struct ethhdr);
    const __u32 whole = said > PADDED ? said : PADDED;

    return is_many(packet) ? there : said <= there && there <= whole ? said : 0;
}

/* Where it goes, by the kernel's routes, and to a neighbour that it knows. False: the kernel has
 * more to do about it than to send it on, as where it is too long for a link. `headers`: bytes of
 * IP and TCP. */
static __noinline bool find_route(struct __sk_buff *packet, struct transit *t, __u32 headers)
{
    t->route.l4_protocol = IPPROTO_TCP;
    t->route.ifindex = packet->ingress_ifindex;
    t->route.tot_len = is_many(packet) ? packet->gso_size + headers : t->length;
    return bpf_fib_lookup(packet, &t->route, sizeof(t->route), 0) == BPF_FIB_LKUP_RET_SUCCESS;
}

/* By way of the kernel's neighbours: one that it has not heard of for long is asked whether he is
 * still there. The next question stands where the route's answer stood. */
static __noinline int send_on(struct transit *t)
{
    const __u32 link = t->route.ifindex;
    const __u32 family = t->route.family;
    __u32 neighbour[4];

    __builtin_memcpy(neighbour, t->route.ipv6_dst, sizeof(neighbour));
    t->next.nh_family = family;
    __builtin_memcpy(t->next.ipv6_nh, neighbour, sizeof(neighbour)); /* IPv4's stands at its head */
    return (int)bpf_redirect_neigh(link, &t->next, sizeof(t->next), 0);
}

/* The sum over an IPv4 header without options, its checksum among it, is 0xffff (RFC 1071). */
static __always_inline bool is_whole(const struct iphdr *ip)
{
    const __u16 *words = (const __u16 *)ip;
    __u32 sum = 0;

#pragma unroll
    for (int i = 0; i < WORDS_PLAIN * 2; i++) {
        sum += words[i];
    }
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff;
}

/* One hop less, and the header's checksum one more (RFC 1624). */
static __always_inline void age4(struct iphdr *ip)
{
    __u32 sum = (__u32)ip->check + bpf_htons(0x0100);

    ip->check = (__sum16)(sum + (sum >= 0xffff));
    ip->ttl--;
}

static __always_inline int let_by4(
    struct __sk_buff *packet, struct ethhdr *ethernet, const void *end)
{
    struct iphdr *ip = (void *)(ethernet + 1);
    struct tcphdr *tcp = (void *)(ip + 1);

    if ((void *)(tcp + 1) > end || ip->version != 4 || ip->ihl != WORDS_PLAIN ||
        ip->protocol != IPPROTO_TCP || (ip->frag_off & FRAGMENT) != 0 || ip->ttl <= 1 ||
        (ip->daddr & MULTICAST4) == MULTICAST4 || !is_mail(tcp)) {
        return OTHERS;
    }
    const __u32 length = length_of(packet, bpf_ntohs(ip->tot_len));
    if (length < sizeof(*ip) + sizeof(*tcp) || !is_whole(ip)) {
        return OTHERS;
    }
    struct transit *t = begin(tcp, length);
    if (!t) {
        return OTHERS;
    }
    t->key4 = ip->saddr;
    if (t->way == WAY_DOWN) {
        t->key4 = ip->daddr;
        KEPT_APART;
    }
    struct fast_path_unit *unit = bpf_map_lookup_elem(&units4, &t->key4);
    if (!is_let_by(unit, t)) {
        return OTHERS;
    }
    t->tuple.ipv4.saddr = ip->saddr;
    t->tuple.ipv4.daddr = ip->daddr;
    t->tuple.ipv4.sport = tcp->source;
    t->tuple.ipv4.dport = tcp->dest;
    if (gate_has_it(packet, t, sizeof(t->tuple.ipv4))) {
        return OTHERS;
    }
    t->route.family = FAMILY4;
    t->route.tos = ip->tos;
    t->route.sport = tcp->source;
    t->route.dport = tcp->dest;
    t->route.ipv4_src = ip->saddr;
    t->route.ipv4_dst = ip->daddr;
    if (!find_route(packet, t, sizeof(*ip) + tcp->doff * WORD)) {
        return OTHERS;
    }
    count(unit, t);
    age4(ip);
    return send_on(t);
}

static __always_inline fast_path_key6 first_of(const struct in6_addr *address)
{
    fast_path_key6 first;

    __builtin_memcpy(&first, address, sizeof(first));
    return first;
}

static __always_inline int let_by6(
    struct __sk_buff *packet, struct ethhdr *ethernet, const void *end)
{
    struct ipv6hdr *ip = (void *)(ethernet + 1);
    struct tcphdr *tcp = (void *)(ip + 1);

    if ((void *)(tcp + 1) > end || ip->version != 6 || ip->nexthdr != IPPROTO_TCP ||
        ip->hop_limit <= 1 || ip->daddr.s6_addr[0] == MULTICAST6 || !is_mail(tcp)) {
        return OTHERS;
    }
    const __u32 length = length_of(packet, sizeof(*ip) + bpf_ntohs(ip->payload_len));
    if (length < sizeof(*ip) + sizeof(*tcp)) {
        return OTHERS;
    }
    struct transit *t = begin(tcp, length);
    if (!t) {
        return OTHERS;
    }
    t->key6 = first_of(&ip->saddr) & t->unit6_mask;
    if (t->way == WAY_DOWN) {
        t->key6 = first_of(&ip->daddr) & t->unit6_mask;
        KEPT_APART;
    }
    struct fast_path_unit *unit = bpf_map_lookup_elem(&units6, &t->key6);
    if (!is_let_by(unit, t)) {
        return OTHERS;
    }
    __builtin_memcpy(t->tuple.ipv6.saddr, &ip->saddr, sizeof(ip->saddr));
    __builtin_memcpy(t->tuple.ipv6.daddr, &ip->daddr, sizeof(ip->daddr));
    t->tuple.ipv6.sport = tcp->source;
    t->tuple.ipv6.dport = tcp->dest;
    if (gate_has_it(packet, t, sizeof(t->tuple.ipv6))) {
        return OTHERS;
    }
    t->route.family = FAMILY6;
    t->route.flowinfo = *(__be32 *)ip & bpf_htonl(0x0fffffff);
    t->route.sport = tcp->source;
    t->route.dport = tcp->dest;
    __builtin_memcpy(t->route.ipv6_src, &ip->saddr, sizeof(ip->saddr));
    __builtin_memcpy(t->route.ipv6_dst, &ip->daddr, sizeof(ip->daddr));
    if (!find_route(packet, t, sizeof(*ip) + tcp->doff * WORD)) {
        return OTHERS;
    }
    count(unit, t);
    ip->hop_limit--;
    /* Where the link has summed up the whole packet: there is no checksum that makes up for it. */
    (void)bpf_csum_update(packet, (__u16)~bpf_htons(1));
    return send_on(t);
}

SEC("tc")
int fast_path(struct __sk_buff *packet)
{
    /* The kernel makes pointers of these two numbers. NOLINTBEGIN(performance-no-int-to-ptr) */
    struct ethhdr *ethernet = (void *)(long)packet->data;
    const void *end = (void *)(long)packet->data_end;
    /* NOLINTEND(performance-no-int-to-ptr) */

    if ((void *)(ethernet + 1) > end || packet->pkt_type != PACKET_HOST || packet->vlan_present) {
        return OTHERS;
    }
    switch (ethernet->h_proto) {
    case bpf_htons(ETH_P_IP):
        return let_by4(packet, ethernet, end);
    case bpf_htons(ETH_P_IPV6):
        return let_by6(packet, ethernet, end);
    default:
        return OTHERS;
    }
}

/* The kernel has some of its functions for programs of such a licence alone. */
const char fast_path_licence[] SEC("license") = "Dual MIT/GPL";
