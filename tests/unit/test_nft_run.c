/* Commands for nftables, and signals meanwhile. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <nftables/libnftables.h>

#include "bypass/nft_run.h"

static volatile sig_atomic_t handled;

static void handle(int number)
{
    handled = number;
}

/* In place of libnftables' own: a signal comes, and its handler ends what the library waits for. */
int nft_run_cmd_from_buffer(struct nft_ctx *nft, const char *commands)
{
    (void)nft;
    (void)commands;
    raise(SIGHUP);
    return handled != 0 ? -1 : 0;
}

static void a_signal_waits_for_the_end(void **state)
{
    const struct sigaction action = {.sa_handler = handle};
    struct nft_run *run = nft_run_new();
    char why[64];
    struct text error;

    (void)state;
    assert_non_null(run);
    text_init(&error, why, sizeof(why));
    assert_int_equal(sigaction(SIGHUP, &action, NULL), 0);
    assert_int_equal(nft_run_commands(run, "list tables", &error), 0);
    assert_int_equal(handled, SIGHUP);
    nft_run_free(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_signal_waits_for_the_end)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
