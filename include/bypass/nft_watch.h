/* Hears of changes of nftables' rules as they happen. */
#ifndef GATE25_BYPASS_NFT_WATCH_H
#define GATE25_BYPASS_NFT_WATCH_H

#include <event2/event.h>

#include "base/str.h"

struct nft_watch;

/* Called from the loop, once for any number of changes. */
typedef void (*nft_watch_cb)(void *context);

struct nft_watch *nft_watch_new(
    struct event_base *base, nft_watch_cb changed, void *context, struct text *error)
    __attribute__((warn_unused_result));
void nft_watch_free(struct nft_watch *w);
/* Deaf while we change something ourselves: a million elements would be told one by one. */
void nft_watch_listen(struct nft_watch *w, bool listen);

#endif
