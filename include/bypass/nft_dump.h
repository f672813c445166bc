/* Reads what the kernel holds of our table: netlink by libmnl, since libnftables sorts what it
 * lists, a million elements in more than a minute. Everything blocks, for as long as the kernel
 * takes. */
#ifndef GATE25_BYPASS_NFT_DUMP_H
#define GATE25_BYPASS_NFT_DUMP_H

#include "base/str.h"

struct nft_dump;

struct nft_dump *nft_dump_new(struct text *error) __attribute__((warn_unused_result));
void nft_dump_free(struct nft_dump *d);

/* A number that the kernel changes with every transaction, whoever makes it. -1: errno. */
int nft_dump_generation(struct nft_dump *d, uint32_t *out) __attribute__((warn_unused_result));

struct nft_table {
    uint64_t handle; /* of this table, and no later one of the same name */
    char comment[128];
};

/* -1: errno, ENOENT: there is none. */
int nft_dump_table(struct nft_dump *d, const char *name, struct nft_table *out)
    __attribute__((warn_unused_result));

struct nft_element {
    uint8_t key[16];
    unsigned key_len;
    bool ends_range; /* of an interval set: the first key behind a range */
    bool expires;    /* after expires_ms more */
    uint64_t expires_ms;
    uint64_t packets, bytes; /* of its counter, where it has one */
};

typedef void (*nft_element_cb)(void *context, const struct nft_element *element);
/* Every element, in no order. -1: errno. */
int nft_dump_set(
    struct nft_dump *d, const char *table, const char *set, nft_element_cb each, void *context)
    __attribute__((warn_unused_result));

struct nft_counter {
    uint64_t packets, bytes;
};

int nft_dump_counter(
    struct nft_dump *d, const char *table, const char *name, struct nft_counter *out)
    __attribute__((warn_unused_result));

#endif
