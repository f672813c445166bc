#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/account.h"

static void test_names(void **state)
{
    static const struct {
        const char *in, *out; /* out NULL: not an account */
    } rows[] = {
        {"account-4711", "account-4711"},
        {"Eve@ISP.example", "eve@isp.example"},
        {"00:1b:44:11:3a:b7", "00:1b:44:11:3a:b7"},
        {"001b.4411.3ab7", "001b.4411.3ab7"},
        {"17", "17"},
        {"", NULL},
        {"-x", NULL},
        {"<b>", NULL},
        {"two words", NULL},
        {"{x}", NULL},
        {"10.20.41", NULL},
        {"10.20.41.007", NULL},
        {"10.20.0.0/33", NULL},
        {"2001:db8", NULL},
        {"1234567890123456789012345678901234567890123456789012345678901234", NULL},
    };
    char out[ACCOUNT_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool good = account_parse(span_of(rows[i].in), out);

        if (good != (rows[i].out != NULL) || (good && strcmp(out, rows[i].out) != 0)) {
            fail_msg("\"%s\" became %s", rows[i].in, good ? out : "none");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
