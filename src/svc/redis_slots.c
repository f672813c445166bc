#include "svc/redis_slots.h"

#include <string.h>

#define POLYNOMIAL 0x1021

uint16_t redis_crc16(struct span s)
{
    unsigned crc = 0;

    for (size_t i = 0; i < s.len; i++) {
        crc ^= (unsigned)(unsigned char)s.at[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 0x8000 ? crc << 1 ^ POLYNOMIAL : crc << 1;
        }
        crc &= 0xffff;
    }
    return (uint16_t)crc;
}

unsigned redis_slot_of(struct span key)
{
    const char *open = key.len ? memchr(key.at, '{', key.len) : NULL;
    struct span inside = open ? span_skip(key, (size_t)(open - key.at) + 1) : key;
    const char *close = open && inside.len ? memchr(inside.at, '}', inside.len) : NULL;

    if (close && close > inside.at) {
        key = (struct span){inside.at, (size_t)(close - inside.at)};
    }
    return redis_crc16(key) % REDIS_SLOTS;
}

static bool word_at(const struct span *words, size_t count, size_t i, struct span *key)
{
    if (i >= count) {
        return false;
    }
    *key = words[i];
    return true;
}

/* XREAD: behind STREAMS. */
static bool key_of_streams(const struct span *words, size_t count, struct span *key)
{
    for (size_t i = 1; i < count; i++) {
        if (span_equal_nocase(words[i], SPAN_LITERAL("STREAMS"))) {
            return word_at(words, count, i + 1, key);
        }
    }
    return false;
}

/* FCALL and EVAL say how many keys they have. */
static bool key_of_call(const struct span *words, size_t count, struct span *key)
{
    uint64_t keys;

    return count > 3 && span_number(words[2], count, &keys) && keys > 0 &&
           word_at(words, count, 3, key);
}

static bool no_key(const struct span *words, size_t count, struct span *key)
{
    (void)words;
    (void)count;
    (void)key;
    return false;
}

bool redis_command_key(const struct span *words, size_t count, struct span *key)
{
    static const struct {
        struct span name;
        bool (*find)(const struct span *words, size_t count, struct span *key);
    } others[] = {
        {{"FCALL", 5}, key_of_call},   {{"FCALL_RO", 8}, key_of_call}, {{"EVAL", 4}, key_of_call},
        {{"EVAL_RO", 7}, key_of_call}, {{"XREAD", 5}, key_of_streams}, {{"PING", 4}, no_key},
        {{"ECHO", 4}, no_key},         {{"FUNCTION", 8}, no_key},      {{"CLUSTER", 7}, no_key},
        {{"ACL", 3}, no_key},          {{"CONFIG", 6}, no_key},        {{"INFO", 4}, no_key},
        {{"TIME", 4}, no_key},         {{"WAIT", 4}, no_key},
    };

    for (size_t i = 0; count > 0 && i < sizeof others / sizeof others[0]; i++) {
        if (span_equal_nocase(words[0], others[i].name)) {
            return others[i].find(words, count, key);
        }
    }
    return word_at(words, count, 1, key);
}
