#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "svc/redis_slots.h"
#include "unit/real_redis.h"

static void test_crc16(void **state)
{
    static const struct {
        struct span text;
        uint16_t crc;
    } rows[] = {
        {{"", 0}, 0x0000},          {{"\0", 1}, 0x0000},       {{"A", 1}, 0x58e5},
        {{"123456789", 9}, 0x31c3}, {{"\xff\xff", 2}, 0x1d0f}, {{"foo", 3}, 44950},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(redis_crc16(rows[i].text), rows[i].crc);
    }
}

static void test_hash_tags(void **state)
{
    static const struct {
        const char *key, *like; /* the same slot as this one, whole */
    } rows[] = {
        {"g25:meter:{192.0.2.7}", "192.0.2.7"},
        {"g25:log:{192.0.2.7}", "192.0.2.7"},
        {"g25:log:{2001:db8::/56}", "2001:db8::/56"},
        {"{a}{b}", "a"},
        {"x{{a}}", "{a"},
        {"g25:meter:{kunde}4}", "kunde"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(
            redis_slot_of(span_of(rows[i].key)), redis_crc16(span_of(rows[i].like)) % REDIS_SLOTS);
    }
}

/* Redis itself says where a key is. */
static void test_slots_are_redis_own(void **state)
{
    static const char letters[] = "{}ab:.{}7";
    struct real_redis server;
    struct event_base *base = event_base_new();
    struct real_answer a;
    unsigned seed = 25;

    (void)state;
    real_redis_start_at(&server, real_redis_port());
    struct redis_options options = {.where = &server.where};
    struct redis *redis = redis_new(base, &options);
    assert_true(real_redis_until(base, real_redis_is_up, redis));
    for (int i = 0; i < 3000; i++) {
        char key[24], slot[24];
        size_t len = 1 + (size_t)rand_r(&seed) % (sizeof key - 1);
        for (size_t c = 0; c < len; c++) {
            key[c] = letters[(size_t)rand_r(&seed) % (sizeof letters - 1)];
        }
        key[len < sizeof key ? len : sizeof key - 1] = '\0';
        snprintf(slot, sizeof slot, "%u", redis_slot_of(span_of(key)));
        assert_string_equal(real_redis_ask(base, redis, &a, "CLUSTER KEYSLOT %s", key), slot);
    }
    redis_free(redis);
    event_base_free(base);
    real_redis_end(&server);
}

static void test_command_keys(void **state)
{
    static const struct {
        const char *command, *key; /* NULL: none */
    } rows[] = {
        {"HSET h f v", "h"},
        {"get k", "k"},
        {"XADD s * a b", "s"},
        {"FCALL f 2 a b c", "a"},
        {"FCALL_RO f 1 a", "a"},
        {"FCALL f 0 a", NULL},
        {"FCALL f x a", NULL},
        {"FCALL f 1", NULL},
        {"EVAL return 1 a", "a"},
        {"XREAD COUNT 10 BLOCK 5 STREAMS s 0", "s"},
        {"xread streams s 0", "s"},
        {"XREAD COUNT 10", NULL},
        {"XREAD STREAMS", NULL},
        {"PING", NULL},
        {"ECHO x", NULL},
        {"FUNCTION LOAD x", NULL},
        {"GET", NULL},
    };
    char line[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span words[16], key = {0};
        size_t count = 0;
        char *save;
        snprintf(line, sizeof line, "%s", rows[i].command);
        for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
            words[count++] = span_of(w);
        }
        assert_int_equal(redis_command_key(words, count, &key), rows[i].key != NULL);
        if (rows[i].key) {
            assert_true(span_equal(key, span_of(rows[i].key)));
        }
    }
    assert_false(redis_command_key(NULL, 0, &(struct span){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc16),
        cmocka_unit_test(test_hash_tags),
        cmocka_unit_test(test_slots_are_redis_own),
        cmocka_unit_test(test_command_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
