/* The fast path's program in the kernel, packet by packet, and its maps: what is sent on, changed
 * in which way, and what is left to the kernel. In a network of its own, as nobody but root may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../src/bypass/fast_path_internal.h"
#include "bypass/fast_path.h"

#define UNIT6       56
#define LATER       1000 /* seconds from now */
#define LEFT        ((uint32_t)TC_ACT_UNSPEC)
#define SENT        ((uint32_t)TC_ACT_REDIRECT)
#define FRAME       256
#define IP_AT       14
#define CHECKSUM_AT (IP_AT + 10)
#define MAC_US      "\x02\x00\x00\x00\x00\x01"

static int64_t now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static struct prefix prefix(const char *text)
{
    struct prefix p;

    assert_int_equal(prefix_parse(span_of(text), &p), PREFIX_OK);
    return p;
}

/* --- a network with a way to everywhere --- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_network(void)
{
    static const char lines[] = "link add in0 address 02:00:00:00:00:01 type veth peer name in1\n"
                                "link set in0 up\nlink set in1 up\naddr add 172.16.0.1/30 dev in0\n"
                                "addr add fd00::1/64 dev in0 nodad\n"
                                "neigh add 172.16.0.2 lladdr 02:00:00:00:00:02 dev in0\n"
                                "neigh add fd00::2 lladdr 02:00:00:00:00:02 dev in0\n"
                                "route add default via 172.16.0.2\nroute add ::/0 via fd00::2\n"
                                "route add 203.0.113.0/24 via 172.16.0.2 mtu lock 100\n";
    FILE *ip = popen("ip -batch -", "w");

    assert_non_null(ip);
    assert_true(fputs(lines, ip) >= 0);
    assert_int_equal(pclose(ip), 0);
    write_file("/proc/sys/net/ipv4/ip_forward", "1");
    write_file("/proc/sys/net/ipv6/conf/all/forwarding", "1");
}

static int begin(void **state)
{
    char why[256];
    struct text error;

    *state = NULL;
    if (unshare(CLONE_NEWNET) != 0) {
        return 0; /* skipped, each */
    }
    make_network();
    text_init(&error, why, sizeof(why));
    struct fast_path *f = fast_path_new(2, 2, UNIT6, &error);
    if (f == NULL) {
        print_error("%s\n", why);
        return -1;
    }
    *state = f;
    return 0;
}

static int end(void **state)
{
    fast_path_free(*state);
    return 0;
}

static struct fast_path *path_of(void **state)
{
    if (*state == NULL) {
        skip();
    }
    return *state;
}

/* --- packets --- */

struct packet {
    uint8_t bytes[FRAME];
    size_t len;
};

static void put(struct packet *p, const void *bytes, size_t len)
{
    assert_true(p->len + len <= FRAME);
    memcpy(p->bytes + p->len, bytes, len);
    p->len += len;
}

static struct addr addr(const char *text)
{
    struct addr a;

    assert_true(addr_parse(span_of(text), &a));
    return a;
}

struct shape {
    const char *from, *to;
    uint16_t from_port, to_port;
    uint8_t flags, hops;
    size_t payload;
};

static void put_tcp(struct packet *p, const struct shape *s)
{
    struct tcphdr tcp = {
        .th_sport = htons(s->from_port),
        .th_dport = htons(s->to_port),
        .th_off = 5,
        .th_flags = s->flags,
    };
    uint8_t payload[FRAME] = {0};

    put(p, &tcp, sizeof(tcp));
    put(p, payload, s->payload);
}

static uint16_t header_sum(const void *header, size_t len)
{
    const uint8_t *at = header;
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i += 2) {
        sum += (uint32_t)(at[i] << 8 | at[i + 1]);
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)(sum + (sum >> 16));
}

static struct packet packet(const struct shape *s)
{
    struct packet p = {.len = 0};
    struct addr from = addr(s->from), to = addr(s->to);

    put(&p, MAC_US "\x02\x00\x00\x00\x00\x09", 12);
    if (from.family == ADDR_IPV4) {
        struct iphdr ip = {
            .version = 4,
            .ihl = 5,
            .ttl = s->hops,
            .protocol = IPPROTO_TCP,
            .tot_len = htons((uint16_t)(sizeof(ip) + sizeof(struct tcphdr) + s->payload)),
        };
        memcpy(&ip.saddr, from.bytes, 4);
        memcpy(&ip.daddr, to.bytes, 4);
        ip.check = htons((uint16_t)~header_sum(&ip, sizeof(ip)));
        put(&p, "\x08\x00", 2);
        put(&p, &ip, sizeof(ip));
    } else {
        struct ip6_hdr ip = {.ip6_nxt = IPPROTO_TCP, .ip6_hlim = s->hops};
        ip.ip6_vfc = 0x60;
        ip.ip6_plen = htons((uint16_t)(sizeof(struct tcphdr) + s->payload));
        memcpy(&ip.ip6_src, from.bytes, 16);
        memcpy(&ip.ip6_dst, to.bytes, 16);
        put(&p, "\x86\xdd", 2);
        put(&p, &ip, sizeof(ip));
    }
    put_tcp(&p, s);
    return p;
}

/* What the program makes of it. */
static uint32_t run(const struct fast_path *f, const struct packet *p, struct packet *out)
{
    const uint32_t in0 = if_nametoindex("in0");
    struct __sk_buff context = {.ingress_ifindex = in0, .ifindex = in0};
    struct bpf_test_run_opts options = {
        .sz = sizeof(options),
        .data_in = p->bytes,
        .data_size_in = (uint32_t)p->len,
        .data_out = out->bytes,
        .data_size_out = FRAME,
        .ctx_in = &context,
        .ctx_size_in = sizeof(context),
    };

    assert_int_equal(bpf_prog_test_run_opts(f->program, &options), 0);
    out->len = options.data_size_out;
    return options.retval;
}

#define SYN    TH_SYN
#define SYNACK (TH_SYN | TH_ACK)
#define ACK    TH_ACK

static const struct shape up4 = {"10.0.0.1", "198.51.100.1", 40000, 25, ACK, 64, 10};
static const struct shape down4 = {"198.51.100.1", "10.0.0.1", 25, 40000, ACK, 64, 10};
static const struct shape up6 = {"2001:db8:0:100:7::1", "2001:db8:ffff::1", 40000, 25, ACK, 64, 10};
static const struct shape down6 = {"2001:db8:ffff::1", "2001:db8:0:1ff::7", 25, 40000, ACK, 64, 10};

static void let_by(struct fast_path *f, int64_t end_s)
{
    const struct prefix units[] = {prefix("10.0.0.1"), prefix("2001:db8:0:100::/56")};

    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(fast_path_put(f, &units[i], end_s), 0);
    }
}

static void put_out(struct fast_path *f)
{
    const struct prefix units[] = {prefix("10.0.0.1"), prefix("2001:db8:0:100::/56")};
    struct fast_path_figures figures;

    for (size_t i = 0; i < 2; i++) {
        (void)fast_path_remove(f, &units[i], &figures);
    }
}

static void live(struct fast_path *f, int64_t fresh, int64_t open)
{
    assert_int_equal(fast_path_live(f, now_s() + fresh, now_s() + open), 0);
}

/* --- what is sent on --- */

static void units_are_let_by(void **state)
{
    static const struct {
        struct shape shape;
        uint32_t verdict;
    } rows[] = {
        {{"10.0.0.1", "198.51.100.1", 40000, 25, SYN, 64, 0}, SENT},
        {{"10.0.0.1", "198.51.100.1", 40000, 25, ACK, 64, 0}, SENT},
        {{"10.0.0.1", "198.51.100.1", 40000, 25, TH_RST, 64, 0}, SENT},
        {{"10.0.0.1", "198.51.100.1", 25, 25, ACK, 64, 0}, SENT},
        {{"198.51.100.1", "10.0.0.1", 25, 40000, SYNACK, 64, 0}, SENT},
        {{"198.51.100.1", "10.0.0.1", 25, 40000, TH_FIN | ACK, 64, 9}, SENT},
        {{"2001:db8:0:100::1", "2001:db8:ffff::1", 40000, 25, SYN, 64, 0}, SENT},
        {{"2001:db8:0:1ff:ffff::1", "2001:db8:ffff::1", 40000, 25, ACK, 64, 0}, SENT},
        {{"2001:db8:ffff::1", "2001:db8:0:1ab::", 25, 40000, SYNACK, 64, 0}, SENT},
        /* others, other ports, the wrong end of it */
        {{"10.0.0.2", "198.51.100.1", 40000, 25, ACK, 64, 0}, LEFT},
        {{"10.0.0.1", "198.51.100.1", 40000, 26, ACK, 64, 0}, LEFT},
        {{"198.51.100.1", "10.0.0.1", 26, 40000, ACK, 64, 0}, LEFT},
        {{"198.51.100.1", "10.0.0.1", 40000, 25, SYN, 64, 0}, LEFT},
        {{"198.51.100.1", "10.0.0.1", 25, 25, ACK, 64, 0}, LEFT},
        {{"198.51.100.1", "10.0.0.1", 25, 40000, SYN, 64, 0}, LEFT},
        {{"2001:db8:0:200::1", "2001:db8:ffff::1", 40000, 25, ACK, 64, 0}, LEFT},
        {{"2001:db8:0:ff::1", "2001:db8:ffff::1", 40000, 25, ACK, 64, 0}, LEFT},
        /* at the end of its way */
        {{"10.0.0.1", "198.51.100.1", 40000, 25, ACK, 2, 0}, SENT},
        {{"10.0.0.1", "198.51.100.1", 40000, 25, ACK, 1, 0}, LEFT},
        {{"10.0.0.1", "198.51.100.1", 40000, 25, ACK, 0, 0}, LEFT},
        {{"2001:db8:0:100::1", "2001:db8:ffff::1", 40000, 25, ACK, 1, 0}, LEFT},
        /* to the gate itself; to where nothing so long fits */
        {{"10.0.0.1", "172.16.0.1", 40000, 25, ACK, 64, 0}, LEFT},
        {{"2001:db8:0:100::1", "fd00::1", 40000, 25, ACK, 64, 0}, LEFT},
        {{"10.0.0.1", "203.0.113.1", 40000, 25, ACK, 64, 60}, SENT},
        {{"10.0.0.1", "203.0.113.1", 40000, 25, ACK, 64, 61}, LEFT},
    };
    struct fast_path *f = path_of(state);
    struct packet out;

    let_by(f, 0);
    live(f, LATER, LATER);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct packet p = packet(&rows[i].shape);
        uint32_t verdict = run(f, &p, &out);

        if (verdict != rows[i].verdict) {
            fail_msg("row %zu: %d", i, (int)verdict);
        }
        if (verdict == LEFT) {
            assert_int_equal(out.len, p.len);
            assert_memory_equal(out.bytes, p.bytes, p.len);
        }
    }
}

/* One hop less. (The next one's Ethernet address comes behind the program.) */
static void what_is_sent_on_is_changed_as_a_router_does(void **state)
{
    static const struct shape *const shapes[] = {&up4, &down4, &up6, &down6};
    struct fast_path *f = path_of(state);

    let_by(f, 0);
    live(f, LATER, LATER);
    for (size_t i = 0; i < 4; i++) {
        for (unsigned hops = 2; hops < 256; hops++) {
            struct shape s = *shapes[i], next;
            struct packet out;

            s.hops = (uint8_t)hops;
            next = s;
            next.hops--;
            struct packet p = packet(&s), wanted = packet(&next);
            assert_int_equal(run(f, &p, &out), SENT);
            assert_int_equal(out.len, wanted.len);
            assert_memory_equal(out.bytes, wanted.bytes, wanted.len);
        }
    }
}

/* --- what is not plain --- */

/* Changes a byte, and keeps an IPv4 header's checksum right where it is not that. */
static void set_byte(struct packet *p, size_t at, uint8_t value)
{
    uint16_t sum;

    p->bytes[at] = value;
    if (p->bytes[12] == 0x08 && at >= IP_AT && at < CHECKSUM_AT) {
        memset(p->bytes + CHECKSUM_AT, 0, 2);
        sum = (uint16_t)~header_sum(p->bytes + IP_AT, sizeof(struct iphdr));
        p->bytes[CHECKSUM_AT] = (uint8_t)(sum >> 8);
        p->bytes[CHECKSUM_AT + 1] = (uint8_t)sum;
    }
}

static void what_is_not_plain_is_left(void **state)
{
    static const struct {
        const struct shape *shape;
        size_t at; /* a byte of the frame */
        uint8_t value;
        const char *what;
    } rows[] = {
        {&up4, 0, 0x06, "not to us"},
        {&up4, 12, 0x81, "a VLAN tag"},
        {&up4, 14, 0x46, "IP options"},
        {&up4, 14, 0x44, "a header that is too short"},
        {&up4, 17, 39, "shorter than its headers"},
        {&up4, 17, 51, "shorter than it says"},
        {&up4, 17, 49, "longer than it says"},
        {&up4, 14, 0x55, "another version"},
        {&up4, CHECKSUM_AT, 0, "a wrong checksum"},
        {&up4, CHECKSUM_AT + 1, 1, "a wrong checksum"},
        {&up4, 30, 224, "to many"},
        {&up4, 30, 255, "to nobody"},
        {&up4, 20, 0x20, "a first fragment"},
        {&up4, 21, 1, "a later fragment"},
        {&up4, 23, IPPROTO_UDP, "no TCP"},
        {&up6, 0, 0x06, "not to us"},
        {&up6, 19, 19, "shorter than its headers"},
        {&up6, 19, 31, "shorter than it says"},
        {&up6, 19, 29, "longer than it says"},
        {&up6, 14, 0x50, "another version"},
        {&up6, 38, 0xff, "to many"},
        {&up6, 20, IPPROTO_FRAGMENT, "a fragment"},
        {&up6, 20, IPPROTO_HOPOPTS, "a header between"},
    };
    struct fast_path *f = path_of(state);
    struct packet out;

    let_by(f, 0);
    live(f, LATER, LATER);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct packet p = packet(rows[i].shape);

        assert_int_equal(run(f, &p, &out), SENT);
        set_byte(&p, rows[i].at, rows[i].value);
        if (run(f, &p, &out) != LEFT) {
            fail_msg("%s", rows[i].what);
        }
    }
}

/* Nothing is read behind the end, and nobody let by. */
static void cut_packets_are_left(void **state)
{
    static const struct {
        const struct shape *shape;
        size_t least; /* the kernel tries none whose IP header is cut */
    } rows[] = {{&up4, 34}, {&up6, 54}};
    struct fast_path *f = path_of(state);
    struct packet out;

    let_by(f, 0);
    live(f, LATER, LATER);
    for (size_t i = 0; i < 2; i++) {
        const struct packet whole = packet(rows[i].shape);

        for (size_t len = rows[i].least; len < whole.len; len++) {
            struct packet p = whole;

            p.len = len;
            assert_int_equal(run(f, &p, &out), LEFT);
        }
    }
}

/* Ethernet's padding is neither sent for an error nor counted. */
static void padding_is_not_counted(void **state)
{
    const struct prefix unit = prefix("10.0.0.1");
    struct fast_path *f = path_of(state);
    struct fast_path_figures figures;
    struct shape s = up4;
    struct packet out;

    put_out(f);
    let_by(f, 0);
    live(f, LATER, LATER);
    s.payload = 0;
    struct packet p = packet(&s);
    put(&p, "\0\0\0\0\0\0", 6);
    assert_int_equal(run(f, &p, &out), SENT);
    put(&p, "", 1);
    assert_int_equal(run(f, &p, &out), LEFT); /* more than that is no padding */
    assert_true(fast_path_remove(f, &unit, &figures));
    assert_int_equal(figures.up, 40);
}

/* --- moments --- */

static void moments_pass(void **state)
{
    static const struct {
        int64_t end, fresh, open; /* from now; end 0: none */
        uint32_t first, later;
    } rows[] = {
        {0, LATER, LATER, SENT, SENT},  {LATER, LATER, LATER, SENT, SENT},
        {-1, LATER, LATER, LEFT, LEFT}, {0, -1, LATER, LEFT, SENT},
        {0, -1, -1, LEFT, LEFT},        {LATER, -1, LATER, LEFT, SENT},
    };
    struct shape first4 = up4, first6 = up6;
    struct fast_path *f = path_of(state);
    struct packet out;

    first4.flags = first6.flags = SYN;
    const struct packet firsts[] = {packet(&first4), packet(&first6)};
    const struct packet laters[] = {packet(&up4), packet(&down4), packet(&up6), packet(&down6)};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        let_by(f, rows[i].end == 0 ? 0 : now_s() + rows[i].end);
        live(f, rows[i].fresh, rows[i].open);
        for (size_t j = 0; j < 2; j++) {
            assert_int_equal(run(f, &firsts[j], &out), rows[i].first);
        }
        for (size_t j = 0; j < 4; j++) {
            assert_int_equal(run(f, &laters[j], &out), rows[i].later);
        }
    }
}

/* Nobody has said that he lives. */
static void at_first_nobody_is_let_by(void **state)
{
    struct packet p = packet(&up4), out;
    char why[256];
    struct text error;

    (void)path_of(state);
    text_init(&error, why, sizeof(why));
    struct fast_path *f = fast_path_new(2, 2, UNIT6, &error);
    assert_non_null(f);
    let_by(f, 0);
    assert_int_equal(run(f, &p, &out), LEFT);
    fast_path_free(f);
}

/* --- maps --- */

static void sum(void *context, const struct prefix *unit, const struct fast_path_figures *figures)
{
    char text[PREFIX_TEXT];

    prefix_format(unit, text);
    text_addf(
        context, "%s:%d,%d,%d ", text, (int)figures->opened, (int)figures->up, (int)figures->down);
}

static void it_counts(void **state)
{
    struct fast_path *f = path_of(state);
    const struct prefix other = prefix("10.0.0.2"), third = prefix("10.0.0.3");
    struct fast_path_figures figures;
    struct shape first = up4;
    struct packet out;
    char said[256];
    struct text t;

    put_out(f);
    let_by(f, 0);
    live(f, LATER, LATER);
    first.flags = SYN;
    first.payload = 0;
    const struct packet packets[] = {packet(&first), packet(&first), packet(&up4),
                                     packet(&down4), packet(&up6),   packet(&down6)};
    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        assert_int_equal(run(f, &packets[i], &out), SENT);
    }
    let_by(f, now_s() + LATER); /* another end: it goes on counting */
    assert_int_equal(run(f, &packets[2], &out), SENT);
    text_init(&t, said, sizeof(said));
    assert_int_equal(fast_path_each(f, sum, &t), 0);
    assert_string_equal(said, "10.0.0.1:2,180,50 2001:db8:0:100::/56:0,70,70 ");
    /* Room for two of each family. */
    assert_int_equal(fast_path_put(f, &other, 0), 0);
    assert_int_equal(fast_path_put(f, &third, 0), -1);
    assert_int_equal(errno, E2BIG);
    assert_true(fast_path_remove(f, &other, &figures));
    assert_int_equal(figures.opened + figures.up + figures.down, 0);
    assert_false(fast_path_remove(f, &other, &figures));
    put_out(f);
    assert_int_equal(run(f, &packets[2], &out), LEFT);
}

/* So many that the kernel is told, and asked, in several steps. */
static void all_of_many_are_read(void **state)
{
    enum { MANY = 30000 };
    static struct prefix_slot slots[1 << 16];
    struct prefix_map units;
    char why[256], *said = calloc(MANY * 2, PREFIX_TEXT);
    struct text error, t;
    size_t read = 0;

    (void)path_of(state);
    assert_non_null(said);
    prefix_map_init(&units, slots, 1 << 16, 25);
    for (unsigned i = 0; i < MANY; i++) {
        struct prefix p4 = prefix("10.1.0.0/32"), p6 = prefix("2001:db8::/56");

        p4.addr.bytes[2] = p6.addr.bytes[5] = (uint8_t)(i >> 8);
        p4.addr.bytes[3] = p6.addr.bytes[6] = (uint8_t)i;
        assert_true(prefix_map_put(&units, &p4, 0, i % 2 == 0 ? 0 : now_s() + LATER));
        if (i < 10000) {
            assert_true(prefix_map_put(&units, &p6, 0, 0));
        }
    }
    text_init(&error, why, sizeof(why));
    struct fast_path *f = fast_path_new(MANY, MANY, UNIT6, &error);
    assert_non_null(f);
    assert_int_equal(fast_path_fill(f, &units), 0);
    text_init(&t, said, MANY * 2 * PREFIX_TEXT);
    assert_int_equal(fast_path_each(f, sum, &t), 0);
    for (const char *at = said; *at; at++) {
        read += *at == ' ';
    }
    assert_int_equal(read, units.count);
    assert_non_null(strstr(said, "10.1.117.47:0,0,0 "));
    assert_non_null(strstr(said, "2001:db8:27:f00::/56:0,0,0 "));
    fast_path_free(f);
    f = fast_path_new(MANY - 1, MANY, UNIT6, &error);
    assert_non_null(f);
    assert_int_equal(fast_path_fill(f, &units), -1);
    fast_path_free(f);
    free(said);
}

/* --- what the kernel adds to it --- */

#define FENCE       3 /* bytes */
#define FENCES_MOST 20

static uint64_t bit(unsigned right)
{
    return UINT64_C(1) << right;
}

static void set_trusted(bool trusted)
{
    const uint64_t rights = bit(CAP_PERFMON) | bit(CAP_SYS_ADMIN);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct half[_LINUX_CAPABILITY_U32S_3];

    assert_int_equal(syscall(SYS_capget, &header, half), 0);
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        const uint32_t these = (uint32_t)(rights >> (32 * i));

        half[i].effective &= ~these;
        half[i].effective |= trusted ? half[i].permitted & these : 0;
    }
    assert_int_equal(syscall(SYS_capset, &header, half), 0);
}

static uint32_t length_in_the_kernel(void)
{
    char why[256];
    struct text error;
    struct bpf_prog_info info = {0};
    uint32_t size = sizeof(info);

    text_init(&error, why, sizeof(why));
    struct fast_path *f = fast_path_new(2, 2, UNIT6, &error);
    assert_non_null(f);
    assert_int_equal(bpf_obj_get_info_by_fd(f->program, &info, &size), 0);
    fast_path_free(f);
    return info.jited_prog_len;
}

/* Each costs as much as twenty instructions of ours; gate25-bypassd has no CAP_PERFMON, whose
 * programs go without. */
static void the_kernel_has_few_fences_to_put_into_it(void **state)
{
    (void)path_of(state);
    const uint32_t trusted = length_in_the_kernel();
    set_trusted(false);
    const uint32_t untrusted = length_in_the_kernel();
    set_trusted(true);
    /* Where the kernel interprets programs, what it adds cannot be seen. */
    assert_true(trusted > 0);
    assert_in_range(untrusted, trusted, trusted + FENCES_MOST * FENCE);
}

static void it_is_for_kernels_that_finish_a_packet_first(void **state)
{
    static const struct {
        const char *version;
        bool suits;
    } rows[] = {
        {"#1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2025-05-22)", true},
        {"#1 SMP Debian 5.10.237-1 (2025-05-19)", true},
        {"#1 SMP PREEMPT_RT Debian 6.1.140-1 (2025-05-22)", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(fast_path_suits(rows[i].version), rows[i].suits);
    }
}

/* --- links --- */

static void links_have_to_be_there(void **state)
{
    static const struct {
        const char *link, *said;
    } rows[] = {{"in9", "in9: No such device"}, {"lo", "lo: no Ethernet link"}};
    struct fast_path *f = path_of(state);
    char why[256];
    struct text error;

    for (size_t i = 0; i < 2; i++) {
        text_init(&error, why, sizeof(why));
        assert_int_equal(fast_path_attach(f, rows[i].link, &error), -1);
        assert_string_equal(why, rows[i].said);
    }
    text_init(&error, why, sizeof(why));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(fast_path_attach(f, "in0", &error), 0);
    }
    fast_path_detach();
    fast_path_detach();
    assert_int_equal(fast_path_attach(f, "in0", &error), 0);
    assert_string_equal(why, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_first_nobody_is_let_by),
        cmocka_unit_test(units_are_let_by),
        cmocka_unit_test(what_is_sent_on_is_changed_as_a_router_does),
        cmocka_unit_test(what_is_not_plain_is_left),
        cmocka_unit_test(cut_packets_are_left),
        cmocka_unit_test(padding_is_not_counted),
        cmocka_unit_test(moments_pass),
        cmocka_unit_test(it_counts),
        cmocka_unit_test(all_of_many_are_read),
        cmocka_unit_test(the_kernel_has_few_fences_to_put_into_it),
        cmocka_unit_test(it_is_for_kernels_that_finish_a_packet_first),
        cmocka_unit_test(links_have_to_be_there),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
