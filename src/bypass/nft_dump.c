#include "bypass/nft_dump.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#define ROOM       65536
#define NO_DATA    0
#define FAMILY     1  /* NFPROTO_INET */
#define COMMENT    0  /* in the user data of a table: nft's own numbering */
#define ATTRIBUTES 64 /* more than any message here has */

struct nft_dump {
    struct mnl_socket *socket;
    unsigned sequence;
    char request[1024];
    char answer[ROOM];
};

struct nft_dump *nft_dump_new(struct text *error)
{
    struct nft_dump *d = calloc(1, sizeof(*d));

    if (d == NULL) {
        text_addf(error, "out of memory");
        return NULL;
    }
    d->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (d->socket == NULL || mnl_socket_bind(d->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        text_addf(error, "netlink: %s", strerror(errno));
        nft_dump_free(d);
        return NULL;
    }
    return d;
}

void nft_dump_free(struct nft_dump *d)
{
    if (d != NULL && d->socket != NULL) {
        mnl_socket_close(d->socket);
    }
    free(d);
}

/* --- asking --- */

static struct nlmsghdr *begin(struct nft_dump *d, unsigned type, unsigned flags)
{
    struct nlmsghdr *head = mnl_nlmsg_put_header(d->request);
    struct nfgenmsg *body;

    head->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
    head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    head->nlmsg_seq = ++d->sequence;
    body = mnl_nlmsg_put_extra_header(head, sizeof(*body));
    body->nfgen_family = FAMILY;
    body->version = NFNETLINK_V0;
    body->res_id = htons(0);
    return head;
}

/* Sends the request and has `each` called for every message of the answer. */
static int ask(struct nft_dump *d, const struct nlmsghdr *head, mnl_cb_t each, void *context)
{
    unsigned port = mnl_socket_get_portid(d->socket);
    bool dump = (head->nlmsg_flags & NLM_F_DUMP) != 0;

    if (mnl_socket_sendto(d->socket, head, head->nlmsg_len) < 0) {
        return -1;
    }
    for (;;) {
        ssize_t len = mnl_socket_recvfrom(d->socket, d->answer, sizeof(d->answer));
        int result;

        if (len < 0) {
            return -1;
        }
        result = mnl_cb_run(d->answer, (size_t)len, d->sequence, port, each, context);
        if (result == MNL_CB_ERROR && (errno == ESRCH || errno == EPROTO)) {
            continue; /* of an earlier question */
        }
        if (result <= MNL_CB_STOP || !dump) {
            return result == MNL_CB_ERROR ? -1 : 0;
        }
    }
}

/* The attributes of a message or of what is nested, by type. */
struct attributes {
    const struct nlattr *at[ATTRIBUTES];
};

static int take(const struct nlattr *attribute, void *context)
{
    struct attributes *all = context;
    unsigned type = mnl_attr_get_type(attribute);

    if (type < ATTRIBUTES) {
        all->at[type] = attribute;
    }
    return MNL_CB_OK;
}

static struct attributes attributes_of(const struct nlmsghdr *head)
{
    struct attributes all = {{NULL}};

    (void)mnl_attr_parse(head, sizeof(struct nfgenmsg), take, &all);
    return all;
}

static struct attributes nested_in(const struct nlattr *attribute)
{
    struct attributes all = {{NULL}};

    if (attribute != NULL) {
        (void)mnl_attr_parse_nested(attribute, take, &all);
    }
    return all;
}

static uint64_t number64(const struct nlattr *attribute)
{
    return attribute == NULL ? 0 : be64toh(mnl_attr_get_u64(attribute));
}

/* --- generation --- */

static int on_generation(const struct nlmsghdr *head, void *context)
{
    struct attributes all = attributes_of(head);

    if (all.at[NFTA_GEN_ID] != NULL) {
        *(uint32_t *)context = ntohl(mnl_attr_get_u32(all.at[NFTA_GEN_ID]));
    }
    return MNL_CB_OK;
}

int nft_dump_generation(struct nft_dump *d, uint32_t *out)
{
    *out = 0;
    return ask(d, begin(d, NFT_MSG_GETGEN, NO_DATA), on_generation, out);
}

/* --- table --- */

/* Pieces of type, length and bytes; the comment ends with a NUL. */
static void read_comment(const struct nlattr *data, struct nft_table *out)
{
    const uint8_t *at = mnl_attr_get_payload(data);
    size_t left = mnl_attr_get_payload_len(data);

    while (left >= 2 && left - 2 >= at[1]) {
        if (at[0] == COMMENT && at[1] > 0 && at[1] <= sizeof(out->comment)) {
            memcpy(out->comment, at + 2, at[1] - 1);
            out->comment[at[1] - 1] = '\0';
        }
        left -= 2u + at[1];
        at += 2 + at[1];
    }
}

static int on_table(const struct nlmsghdr *head, void *context)
{
    struct nft_table *out = context;
    struct attributes all = attributes_of(head);

    out->handle = number64(all.at[NFTA_TABLE_HANDLE]);
    if (all.at[NFTA_TABLE_USERDATA] != NULL) {
        read_comment(all.at[NFTA_TABLE_USERDATA], out);
    }
    return MNL_CB_OK;
}

int nft_dump_table(struct nft_dump *d, const char *name, struct nft_table *out)
{
    struct nlmsghdr *head = begin(d, NFT_MSG_GETTABLE, NO_DATA);

    *out = (struct nft_table){0};
    mnl_attr_put_strz(head, NFTA_TABLE_NAME, name);
    return ask(d, head, on_table, out);
}

/* --- elements --- */

struct reader {
    nft_element_cb each;
    void *context;
};

static void read_counter(const struct nlattr *data, uint64_t *packets, uint64_t *bytes)
{
    struct attributes counter = nested_in(data);

    *packets = number64(counter.at[NFTA_COUNTER_PACKETS]);
    *bytes = number64(counter.at[NFTA_COUNTER_BYTES]);
}

static void read_expression(const struct nlattr *attribute, struct nft_element *out)
{
    struct attributes all = nested_in(attribute);

    if (all.at[NFTA_EXPR_NAME] != NULL && all.at[NFTA_EXPR_DATA] != NULL &&
        strcmp(mnl_attr_get_str(all.at[NFTA_EXPR_NAME]), "counter") == 0) {
        read_counter(all.at[NFTA_EXPR_DATA], &out->packets, &out->bytes);
    }
}

static bool read_element(const struct nlattr *attribute, struct nft_element *out)
{
    struct attributes all = nested_in(attribute);
    struct attributes key = nested_in(all.at[NFTA_SET_ELEM_KEY]);
    const struct nlattr *value = key.at[NFTA_DATA_VALUE];

    *out = (struct nft_element){0};
    if (value == NULL || mnl_attr_get_payload_len(value) > sizeof(out->key)) {
        return false;
    }
    out->key_len = mnl_attr_get_payload_len(value);
    memcpy(out->key, mnl_attr_get_payload(value), out->key_len);
    if (all.at[NFTA_SET_ELEM_FLAGS] != NULL) {
        uint32_t flags = ntohl(mnl_attr_get_u32(all.at[NFTA_SET_ELEM_FLAGS]));
        out->ends_range = (flags & NFT_SET_ELEM_INTERVAL_END) != 0;
    }
    out->expires = all.at[NFTA_SET_ELEM_EXPIRATION] != NULL;
    out->expires_ms = number64(all.at[NFTA_SET_ELEM_EXPIRATION]);
    read_expression(all.at[NFTA_SET_ELEM_EXPR], out);
    return true;
}

static int on_element(const struct nlattr *attribute, void *context)
{
    const struct reader *r = context;
    struct nft_element element;

    if (read_element(attribute, &element)) {
        r->each(r->context, &element);
    }
    return MNL_CB_OK;
}

static int on_elements(const struct nlmsghdr *head, void *context)
{
    const struct nlattr *list = attributes_of(head).at[NFTA_SET_ELEM_LIST_ELEMENTS];

    return list == NULL ? MNL_CB_OK : mnl_attr_parse_nested(list, on_element, context);
}

int nft_dump_set(
    struct nft_dump *d, const char *table, const char *set, nft_element_cb each, void *context)
{
    struct nlmsghdr *head = begin(d, NFT_MSG_GETSETELEM, NLM_F_DUMP);
    struct reader r = {each, context};

    mnl_attr_put_strz(head, NFTA_SET_ELEM_LIST_TABLE, table);
    mnl_attr_put_strz(head, NFTA_SET_ELEM_LIST_SET, set);
    return ask(d, head, on_elements, &r);
}

/* --- counters --- */

static int on_counter(const struct nlmsghdr *head, void *context)
{
    struct nft_counter *out = context;
    struct attributes all = attributes_of(head);

    if (all.at[NFTA_OBJ_DATA] != NULL) {
        read_counter(all.at[NFTA_OBJ_DATA], &out->packets, &out->bytes);
    }
    return MNL_CB_OK;
}

int nft_dump_counter(
    struct nft_dump *d, const char *table, const char *name, struct nft_counter *out)
{
    struct nlmsghdr *head = begin(d, NFT_MSG_GETOBJ, NO_DATA);

    *out = (struct nft_counter){0};
    mnl_attr_put_strz(head, NFTA_OBJ_TABLE, table);
    mnl_attr_put_strz(head, NFTA_OBJ_NAME, name);
    mnl_attr_put_u32(head, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
    return ask(d, head, on_counter, out);
}
