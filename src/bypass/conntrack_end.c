#include "bypass/conntrack_end.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>

#define ROOM      65536
#define SMTP_PORT 25

/* Those that shall be ended are gathered first: the list must not change while it is read. */
struct ending {
    conntrack_ends_cb ends;
    void *context;
    struct nf_conntrack **found;
    size_t count, room;
    bool failed;
};

static struct nlmsghdr *begin(char *room, unsigned type, unsigned flags, uint8_t family)
{
    struct nlmsghdr *head = mnl_nlmsg_put_header(room);
    struct nfgenmsg *body;

    head->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
    head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    body = mnl_nlmsg_put_extra_header(head, sizeof(*body));
    body->nfgen_family = family;
    body->version = NFNETLINK_V0;
    return head;
}

/* The subscriber's address: the end that is not port 25. False: neither end is. */
static bool subscriber_of(const struct nf_conntrack *ct, struct addr *out)
{
    static const enum nf_conntrack_attr attributes[2][2] = {
        {ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV4_DST}, {ATTR_ORIG_IPV6_SRC, ATTR_ORIG_IPV6_DST}};
    bool six = nfct_get_attr_u8(ct, ATTR_L3PROTO) == AF_INET6;
    bool up = nfct_get_attr_u16(ct, ATTR_ORIG_PORT_DST) == htons(SMTP_PORT);
    bool down = nfct_get_attr_u16(ct, ATTR_ORIG_PORT_SRC) == htons(SMTP_PORT);
    const void *bytes;

    if (nfct_get_attr_u8(ct, ATTR_L4PROTO) != IPPROTO_TCP || !(up || down)) {
        return false;
    }
    bytes = nfct_get_attr(ct, attributes[six][!up]);
    if (bytes == NULL) {
        return false;
    }
    *out = (struct addr){.family = six ? ADDR_IPV6 : ADDR_IPV4};
    memcpy(out->bytes, bytes, six ? 16 : 4);
    return true;
}

static void keep(struct ending *e, struct nf_conntrack *ct)
{
    if (e->count == e->room) {
        size_t room = e->room == 0 ? 64 : e->room * 2;
        struct nf_conntrack **more = reallocarray(e->found, room, sizeof(struct nf_conntrack *));

        if (more == NULL) {
            e->failed = true;
            nfct_destroy(ct);
            return;
        }
        e->found = more;
        e->room = room;
    }
    e->found[e->count++] = ct;
}

static int on_entry(const struct nlmsghdr *head, void *context)
{
    struct ending *e = context;
    struct nf_conntrack *ct = nfct_new();
    struct addr subscriber;

    if (ct == NULL) {
        e->failed = true;
        return MNL_CB_OK;
    }
    if (nfct_nlmsg_parse(head, ct) == 0 && subscriber_of(ct, &subscriber) &&
        (nfct_get_attr_u32(ct, ATTR_STATUS) & IPS_DST_NAT) == 0 &&
        e->ends(e->context, &subscriber)) {
        keep(e, ct);
    } else {
        nfct_destroy(ct);
    }
    return MNL_CB_OK;
}

/* Waits for the whole answer. */
static int converse(
    struct mnl_socket *socket, const struct nlmsghdr *head, char *room, mnl_cb_t each,
    void *context)
{
    int result = MNL_CB_OK;

    if (mnl_socket_sendto(socket, head, head->nlmsg_len) < 0) {
        return -1;
    }
    while (result == MNL_CB_OK) {
        ssize_t len = mnl_socket_recvfrom(socket, room, ROOM);

        result = len < 0 ? MNL_CB_ERROR : mnl_cb_run(room, (size_t)len, 0, 0, each, context);
    }
    return result;
}

/* It may have ended by itself meanwhile: no error. */
static bool forget(struct mnl_socket *socket, const struct nf_conntrack *ct, char *room)
{
    struct nf_conntrack *original = nfct_new();
    char request[1024];
    struct nlmsghdr *head =
        begin(request, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, nfct_get_attr_u8(ct, ATTR_L3PROTO));
    bool good = original != NULL;

    if (good) {
        nfct_copy(original, ct, NFCT_CP_ORIG);
        if (nfct_attr_is_set(ct, ATTR_ZONE)) {
            nfct_set_attr_u16(original, ATTR_ZONE, nfct_get_attr_u16(ct, ATTR_ZONE));
        }
        good = nfct_nlmsg_build(head, original) == 0 &&
               (converse(socket, head, room, NULL, NULL) >= 0 || errno == ENOENT);
        nfct_destroy(original);
    }
    return good;
}

static bool end_all(struct ending *e, struct mnl_socket *socket, char *room)
{
    bool good =
        converse(
            socket, begin(room, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC), room, on_entry, e) >= 0;

    for (size_t i = 0; i < e->count; i++) {
        good = forget(socket, e->found[i], room) && good;
        nfct_destroy(e->found[i]);
    }
    return good;
}

int conntrack_end(conntrack_ends_cb ends, void *context, struct text *error)
{
    struct ending e = {.ends = ends, .context = context};
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    char *room = malloc(ROOM);
    bool good = socket != NULL && room != NULL &&
                mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0 && end_all(&e, socket, room);

    if (!good) {
        text_addf(error, "%s", strerror(errno));
    } else if (e.failed) {
        text_addf(error, "out of memory");
    }
    free(e.found);
    free(room);
    if (socket != NULL) {
        mnl_socket_close(socket);
    }
    return good && !e.failed ? (int)e.count : -1;
}
