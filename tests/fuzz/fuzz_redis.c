/* What comes from Redis: the protocol, its replies as the meter's answers, and what sentinels and a
 * cluster say of where things are. How the bytes arrive makes no difference, no answer grants more
 * than was asked for, and no way leads out of the slots. */
#include <stdlib.h>
#include <string.h>

#include "svc/meter_codec.h"
#include "svc/redis_answers.h"
#include "svc/redis_slots.h"
#include "svc/redis_wire.h"

#define REPLIES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static const struct meter_windows windows = {
    .count = 3,
    .at = {
        {LIMIT_MESSAGES, 0, {10, 60000000}},
        {LIMIT_RECIPIENTS, 0, {50, 60000000}},
        {LIMIT_BYTES, 1, {1000, 60000000}}}};

static void require_place(const struct conf_redis_place *place)
{
    require(place->port > 0 && place->host[0] != '\0');
    require(memchr(place->host, '\0', sizeof place->host) != NULL);
}

static void look_for_ways(const struct redis_reply *reply)
{
    struct conf_redis_place place;
    struct redis_range range;
    struct span error;
    uint64_t epoch;
    unsigned slot;

    if (redis_answer_master(reply, &place)) {
        require_place(&place);
    }
    (void)redis_answer_epoch(reply, &epoch);
    (void)redis_answer_cluster_epoch(reply, &epoch);
    for (size_t i = 0; i <= redis_reply_count(reply); i++) {
        if (redis_answer_range(reply, i, "asked", &range)) {
            require(range.first <= range.last && range.last < REDIS_SLOTS);
            require_place(&range.master);
        }
    }
    if (redis_reply_is_error(reply, &error)) {
        enum redis_redirect way = redis_answer_redirect(error, "asked", &slot, &place);
        if (way == REDIRECT_MOVED || way == REDIRECT_ASK) {
            require(slot < REDIS_SLOTS);
            require_place(&place);
        }
        require(redis_slot_of(error) < REDIS_SLOTS);
    }
}

static void look_at(const struct redis_reply *reply, struct answer *answer)
{
    struct meter_level level;
    struct span s;
    int64_t n = 0;
    (void)redis_reply_is_nil(reply);
    (void)redis_reply_is_error(reply, &s);
    (void)redis_reply_text(reply, &s);
    (void)redis_reply_integer(reply, &n);
    look_for_ways(reply);
    if (meter_answer_decode(reply, &windows, answer)) {
        require(answer->state != METER_UNKNOWN && answer->limit < LIMIT_KINDS);
        require(answer->window < CONF_WINDOWS && answer->retry_us >= 0);
    }
    (void)meter_ahead_decode(reply);
    for (size_t i = 0; i <= windows.count; i++) {
        (void)meter_level_decode(reply, i, &level);
    }
}

/* Feeds in pieces; returns how many replies came, -1 behind them when it is no protocol. */
static int feed(struct span in, size_t piece, struct answer answers[REPLIES], bool *bad)
{
    struct redis_wire wire = REDIS_WIRE_INIT;
    struct redis_reply *reply = NULL;
    int count = 0;
    *bad = false;
    require(redis_wire_open(&wire) == 0);
    while (in.len > 0 && !*bad && count < REPLIES) {
        size_t n = in.len < piece ? in.len : piece;
        require(redis_wire_feed(&wire, (struct span){in.at, n}) == 0);
        in = span_skip(in, n);
        while (count < REPLIES) {
            if (redis_wire_next(&wire, &reply) != 0) {
                *bad = true;
                break;
            }
            if (!reply) {
                break;
            }
            look_at(reply, &answers[count++]);
            redis_wire_release(reply);
        }
    }
    redis_wire_fini(&wire);
    return count;
}

/* An array's memory is taken when its length is read; hiredis has no limit but INT_MAX. Redis is
 * trusted as far as that, and the fuzzer has not the memory. */
static bool has_huge_array(struct span in)
{
    for (size_t i = 0; i < in.len; i++) {
        size_t digits = 0;
        while (in.at[i] == '*' && i + 1 + digits < in.len && in.at[i + 1 + digits] >= '0' &&
               in.at[i + 1 + digits] <= '9') {
            digits++;
        }
        if (digits > 5) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct answer whole[REPLIES], split[REPLIES];
    struct span in = {(const char *)data, size};
    bool whole_bad = false;
    bool split_bad = false;
    if (has_huge_array(in)) {
        return 0;
    }
    memset(whole, 0, sizeof whole);
    memset(split, 0, sizeof split);
    int count = feed(in, SIZE_MAX, whole, &whole_bad);
    require(feed(in, 1, split, &split_bad) == count && whole_bad == split_bad);
    for (int i = 0; i < count; i++) {
        require(whole[i].state == split[i].state && whole[i].recipients == split[i].recipients);
    }
    return 0;
}
