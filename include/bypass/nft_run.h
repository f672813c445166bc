/* Runs nft's commands: libnftables. */
#ifndef GATE25_BYPASS_NFT_RUN_H
#define GATE25_BYPASS_NFT_RUN_H

#include "base/str.h"

struct nft_run;

struct nft_run *nft_run_new(void) __attribute__((warn_unused_result)); /* NULL: out of memory */
void nft_run_free(struct nft_run *n);
/* Blocks until the kernel has taken all of `commands`, or none: they are one transaction. -1:
 * `error` says why. */
int nft_run_commands(struct nft_run *n, const char *commands, struct text *error)
    __attribute__((warn_unused_result));

#endif
