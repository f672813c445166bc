#include "bypass/nft_run.h"

#include <nftables/libnftables.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct nft_run {
    struct nft_ctx *nft;
};

struct nft_run *nft_run_new(void)
{
    struct nft_run *n = calloc(1, sizeof(*n));

    if (n == NULL) {
        return NULL;
    }
    n->nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (n->nft == NULL || nft_ctx_buffer_error(n->nft) != 0 || nft_ctx_buffer_output(n->nft) != 0) {
        nft_run_free(n);
        return NULL;
    }
    return n;
}

void nft_run_free(struct nft_run *n)
{
    if (n != NULL && n->nft != NULL) {
        nft_ctx_free(n->nft);
    }
    free(n);
}

/* A signal would make libnftables call a failure what the kernel has taken already: it waits. */
static int run_undisturbed(struct nft_run *n, const char *commands)
{
    sigset_t all, before;
    int result;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    result = nft_run_cmd_from_buffer(n->nft, commands);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return result;
}

int nft_run_commands(struct nft_run *n, const char *commands, struct text *error)
{
    const char *why;

    if (run_undisturbed(n, commands) == 0) {
        return 0;
    }
    /* The first line says it; behind it stands the whole command. */
    why = nft_ctx_get_error_buffer(n->nft);
    text_addf(error, "%.*s", (int)strcspn(why, "\n"), why);
    return -1;
}
