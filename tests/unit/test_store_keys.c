#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/store_keys.h"

static void names_every_key(void **state)
{
    static const struct {
        enum store_key key;
        const char *id, *name;
    } rows[] = {
        {STORE_KEY_STANDING, "192.0.2.7", "g25:standing:{192.0.2.7}"},
        {STORE_KEY_METER, "192.0.2.7", "g25:meter:{192.0.2.7}"},
        {STORE_KEY_OPEN, "2001:db8::/56", "g25:open:{2001:db8::/56}"},
        {STORE_KEY_SPREAD, "x", "g25:spread:{x}"},
        {STORE_KEY_LOG, "kunde 4711", "g25:log:{kunde 4711}"},
        {STORE_KEY_SIGNUP, "0123abcd", "g25:signup:{0123abcd}"},
        {STORE_KEY_ASKED, "192.0.2.7", "g25:asked:{192.0.2.7}"},
        {STORE_KEY_MAILED, "10.20.3.3", "g25:mailed:{10.20.3.3}"},
        {STORE_KEY_CONTACT, "0123abcd", "g25:contact:{0123abcd}"},
        {STORE_KEY_REGISTRATION, "192.0.2.7", "g25:registration:{192.0.2.7}"},
    };
    char out[STORE_KEY];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct span key = store_key(rows[i].key, span_of(rows[i].id), out);

        assert_string_equal(out, rows[i].name);
        assert_ptr_equal(key.at, out);
        assert_int_equal(key.len, strlen(rows[i].name));
    }
}

static void holds_the_longest_account(void **state)
{
    char id[254], out[STORE_KEY];
    struct span key;

    (void)state;
    memset(id, 'a', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    key = store_key(STORE_KEY_STANDING, span_of(id), out);
    assert_int_equal(key.len, strlen("g25:standing:{}") + 253);
    assert_int_equal(out[key.len - 1], '}');
}

static void stays_within_its_array(void **state)
{
    char id[1000], out[STORE_KEY + 1];
    struct span key;

    (void)state;
    memset(id, 'a', sizeof(id));
    out[STORE_KEY] = '!';
    key = store_key(STORE_KEY_LOG, (struct span){id, sizeof(id)}, out);
    assert_int_equal(key.len, STORE_KEY - 1);
    assert_int_equal(out[STORE_KEY], '!');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_every_key),
        cmocka_unit_test(holds_the_longest_account),
        cmocka_unit_test(stays_within_its_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
