/* core/turns: record flows, made up and recorded, and the bounds that follow from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "core/turns.h"

#define ROOM     65536
#define TAG      17 /* TLS 1.3: what a record is longer than its text */
#define COMMAND  40
#define ENVELOPE 90 /* MAIL, RCPT and DATA in one */

/* One record of either side: positive, the client's text; negative, the server's. 0 ends. */
#define MOST_RECORDS 64
#define EHLO13       -1200, -100, 36, -238, -238, 20, -180 /* handshake, its tickets, EHLO */

struct flow {
    const char *name;
    int text[MOST_RECORDS];
    uint32_t count, least, most;
};

static const struct flow flows[] = {
    {"nothing", {0}, 0, 0, 0},
    {"EHLO, QUIT", {EHLO13, 6, -15, 0}, 2, 0, 0},
    {"one message, not pipelined",
     {EHLO13, COMMAND, -14, 26, -14, 6, -37, 900, -37, 6, -15, 0},
     6,
     1,
     5},
    {"one message, pipelined", {EHLO13, ENVELOPE, -65, 900, -37, 6, -15, 0}, 4, 1, 5},
    {"a message too small to be told from a command",
     {EHLO13, COMMAND, -14, 26, -14, 6, -37, 200, -37, 6, -15, 0},
     6,
     0,
     5},
    {"three messages",
     {EHLO13, ENVELOPE, -65, 2000, -37, ENVELOPE, -65, 2000, -37, ENVELOPE, -65, 2000, -37, 0},
     7,
     3,
     13},
    {"a large message, interrupted by a session ticket",
     {EHLO13, ENVELOPE, -65, 16384, 16384, -238, 16384, 500, -37, 6, -15, 0},
     5,
     1,
     15},
    {"60 recipients at once, none of them accepted",
     {EHLO13, 3000, -840, -37, 6, -14, 6, -15, 0},
     4,
     0,
     38},
    {"300 recipients at once, and most of the replies late",
     {EHLO13, 9000, -14, 2500, -4200, 6, -37, 2000, -37, 6, -15, 0},
     6,
     1,
     179},
    {"the same again",
     {EHLO13, 9000, -14, 2500, -4200, 6, -37, 2000, -37, 6,
      -14,    9000, -14, 2500, -4200, 6, -37, 2000, -37, 0},
     10,
     2,
     358},
    {"10 recipients with their DSN parameters at once, 14 octets a reply, DATA behind them, twice",
     {EHLO13, 1760, -154, 6, -37, 2000, -37, 1760, -154, 6, -37, 2000, -37, 6, -15, 0},
     8,
     2,
     20},
    {"the same, and none of them accepted",
     {EHLO13, 1760, -154, 6, -14, 1760, -154, 6, -14, 6, -15, 0},
     6,
     0,
     15},
    {"chunks of one message",
     {EHLO13, ENVELOPE, -65, 8192, -34, 8192, -34, 8192, -34, 300, -40, 6, -15, 0},
     7,
     1,
     9},
    {"the envelope goes with the first chunk",
     {EHLO13, 8280, -90, 8192, -34, 8192, -34, 300, -240, 6, -15, 0},
     6,
     1,
     17},
    {"small chunks of one message",
     {EHLO13, ENVELOPE, -65, 1000, -27, 1000, -27, 1000, -27, 1000, -37, 6, -15, 0},
     7,
     1,
     8},
    {"Exim, two large messages: the header, then the rest",
     {EHLO13, 700, -55, 16000, -35, 700, -55, 16000, -35, 6, -15, 0},
     6,
     2,
     8},
    {"Exim, three small messages", {EHLO13, 1200, -55, 1200, -55, 1200, -55, 6, -15, 0}, 5, 3, 8},
    {"content and the next envelope together, 4 small ones",
     {EHLO13, ENVELOPE, -65, 2090, -102, 2090, -102, 2090, -102, 2000, -37, 6, -15, 0},
     7,
     3,
     18},
    {"the same, 8 of 5 KB",
     {EHLO13, ENVELOPE, -65,  5090, -102, 5090, -102, 5090, -102, 5090, -102,
      5090,   -102,     5090, -102, 5090, -102, 5000, -37,  6,    -15,  0},
     11,
     2,
     35},
    {"the server speaks in two records", {EHLO13, COMMAND, -7, -7, 6, -14, 0}, 3, 0, 1},
    {"an alert is no message", {EHLO13, 6, -14, 2, -2, 0}, 3, 0, 0},
};

static size_t put_record(char *out, uint8_t type, size_t size)
{
    const uint8_t header[] = {type, 3, 3, (uint8_t)(size >> 8), (uint8_t)size};
    memcpy(out, header, sizeof header);
    memset(
        out + sizeof header, 0x17, size); /* what looks like a header must not be taken for one */
    return sizeof header + size;
}

static void feed_client(struct turns *t, struct span s, size_t piece)
{
    while (s.len > 0) {
        struct span in = {s.at, s.len < piece ? s.len : piece};
        size_t n = turns_client(t, in);
        s = span_skip(s, n);
        if (n < in.len) {
            assert_true(t->held);
        }
        if (t->held) {
            assert_int_equal(turns_client(t, s), 0);
            turns_pass(t);
        }
    }
}

static void feed_server(struct turns *t, struct span s, size_t piece)
{
    for (; s.len > 0; s = span_skip(s, piece)) {
        turns_server(t, (struct span){s.at, s.len < piece ? s.len : piece});
    }
}

static void play(const struct flow *f, struct turns *t, size_t piece)
{
    static char bytes[ROOM];
    turns_init(t);
    for (const int *text = f->text; *text; text++) {
        size_t size = (size_t)(*text < 0 ? -*text : *text) + TAG;
        struct span record = {bytes, put_record(bytes, 23, size)};
        (*text < 0 ? feed_server : feed_client)(t, record, piece);
    }
    turns_end(t);
}

/* However the records are cut into reads, the counts are the same. */
static void test_flows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        for (size_t piece = 1; piece < 40; piece++) {
            struct turns t;
            play(&flows[i], &t, piece < 39 ? piece : ROOM);
            if (t.count != flows[i].count || t.least != flows[i].least ||
                turns_most(&t) != flows[i].most) {
                fail_msg(
                    "%s, %zu at a time: %u turns, %u to %u", flows[i].name, piece, t.count, t.least,
                    turns_most(&t));
            }
        }
    }
}

static void say(struct turns *t, int text)
{
    static char bytes[ROOM];
    size_t size = (size_t)(text < 0 ? -text : text) + TAG;
    struct span record = {bytes, put_record(bytes, 23, size)};
    (text < 0 ? feed_server : feed_client)(t, record, ROOM);
}

/* Record flows of real sessions (OpenSSL 3, python3's smtplib, swaks): type, and length in the
 * header, negative where the server speaks. */
struct recording {
    const char *name;
    uint32_t messages, least; /* real ones, and those that the lower bound finds */
    struct {
        uint8_t type;
        int length;
    } record[MOST_RECORDS];
};

static const struct recording recordings[] = {
    {"smtplib, TLS 1.3",
     2,
     2,
     {{22, 512}, {22, -122}, {20, -1},   {23, -23},  {23, -440}, {23, -96}, {23, -69}, {20, 1},
      {23, 69},  {23, -250}, {23, -250}, {23, 38},   {23, -121}, {23, 62},  {23, -31}, {23, 45},
      {23, -31}, {23, 23},   {23, -54},  {23, 2226}, {23, -39},  {23, 62},  {23, -31}, {23, 45},
      {23, -31}, {23, 23},   {23, -54},  {23, 2226}, {23, -39},  {23, 23},  {23, -32}, {23, -19}}},
    {"smtplib, TLS 1.2", 2, 2, {{22, 183},  {22, -65},  {22, -420}, {22, -116}, {22, -4},  {22, 37},
                                {20, 1},    {22, 40},   {22, -186}, {20, -1},   {22, -40}, {23, 45},
                                {23, -128}, {23, 69},   {23, -38},  {23, 52},   {23, -38}, {23, 30},
                                {23, -61},  {23, 2233}, {23, -46},  {23, 69},   {23, -38}, {23, 52},
                                {23, -38},  {23, 30},   {23, -61},  {23, 2233}, {23, -46}, {23, 30},
                                {23, -39},  {21, -26}}},
    {"pipelined, 3 recipients",
     2,
     2,
     {{22, 512}, {22, -122}, {20, -1},   {23, -23},  {23, -440}, {23, -97}, {23, -69}, {20, 1},
      {23, 69},  {23, -250}, {23, -250}, {23, 38},   {23, -121}, {23, 142}, {23, -31}, {23, -31},
      {23, -31}, {23, -31},  {23, -54},  {23, 2226}, {23, -39},  {23, 142}, {23, -31}, {23, -31},
      {23, -31}, {23, -31},  {23, -54},  {23, 2226}, {23, -39},  {23, 23},  {23, -32}, {23, -19}}},
    {"5 messages by BDAT in one burst",
     5,
     0,
     {{22, 512}, {22, -122}, {20, -1},   {23, -23}, {23, -440}, {23, -96},  {23, -69}, {20, 1},
      {23, 69},  {23, -250}, {23, -250}, {23, 38},  {23, -121}, {23, 1537}, {23, -31}, {23, -31},
      {23, -39}, {23, -31},  {23, -31},  {23, -39}, {23, -31},  {23, -31},  {23, -39}, {23, -31},
      {23, -31}, {23, -39},  {23, -31},  {23, -31}, {23, -39},  {23, 23},   {23, -32}, {23, -19}}},
    {"swaks, a message of 250 octets",
     1,
     0,
     {{22, 512}, {22, -122}, {20, -1},   {23, -23}, {23, -440}, {23, -97}, {23, -69}, {20, 1},
      {23, 69},  {23, -250}, {23, -250}, {23, 33},  {23, -121}, {23, 42},  {23, -31}, {23, 40},
      {23, -31}, {23, 23},   {23, -54},  {23, 270}, {23, -39},  {23, 23},  {23, -32}, {23, -19}}},
};

static void test_recordings(void **state)
{
    (void)state;
    static char bytes[ROOM];
    for (size_t i = 0; i < sizeof recordings / sizeof *recordings; i++) {
        const struct recording *r = &recordings[i];
        struct turns t;
        turns_init(&t);
        for (unsigned k = 0; k < MOST_RECORDS && r->record[k].length != 0; k++) {
            int length = r->record[k].length;
            size_t size = (size_t)(length < 0 ? -length : length);
            struct span record = {bytes, put_record(bytes, r->record[k].type, size)};
            (length < 0 ? feed_server : feed_client)(&t, record, 7);
        }
        turns_end(&t);
        if (t.plain || t.least != r->least || turns_most(&t) < r->messages) {
            fail_msg("%s: %u to %u in %u turns", r->name, t.least, turns_most(&t), t.count);
        }
    }
}

/* What a pipelining client can do at the best: many messages in one turn. */
static void test_most_of_one_turn(void **state)
{
    (void)state;
    for (int messages = 1; messages <= 100; messages++) {
        /* MAIL FROM:<a@b>, RCPT TO:<c@d>, BDAT 1 LAST, and a letter */
        struct turns t;
        turns_init(&t);
        say(&t, -1000);
        say(&t, 36);
        say(&t, 10);
        say(&t, -100);
        say(&t, messages * (17 + 15 + 13 + 1));
        say(&t, -messages * 3 * TURNS_REPLY);
        turns_end(&t);
        assert_true(turns_most(&t) >= (uint32_t)messages);
        assert_true(t.least <= (uint32_t)messages);
    }
}

/* TLS 1.2 has no disguise: the client is the first to send application data. */
static void test_tls12(void **state)
{
    (void)state;
    static char bytes[ROOM];
    struct turns t;
    turns_init(&t);
    feed_client(&t, (struct span){bytes, put_record(bytes, 22, 200)}, ROOM);
    feed_server(&t, (struct span){bytes, put_record(bytes, 22, 2000)}, ROOM);
    feed_client(&t, (struct span){bytes, put_record(bytes, 20, 1)}, ROOM);
    feed_server(&t, (struct span){bytes, put_record(bytes, 20, 1)}, ROOM);
    assert_false(t.began);
    say(&t, 44);
    say(&t, -200);
    assert_false(t.tls13);
    say(&t, ENVELOPE);
    say(&t, -65);
    say(&t, 1000);
    say(&t, -37);
    turns_end(&t);
    assert_int_equal(t.count, 3);
    assert_int_equal(t.least, 1);
}

/* Behind STARTTLS somebody speaks what is no TLS: his reads are counted. */
static void test_no_tls(void **state)
{
    (void)state;
    static char bytes[ROOM];
    struct turns t;
    memset(bytes, 'x', sizeof bytes);
    turns_init(&t);
    for (int i = 0; i < 5; i++) {
        feed_client(&t, (struct span){bytes, 2000}, ROOM);
        feed_server(&t, (struct span){bytes, 20}, ROOM);
        feed_client(&t, (struct span){bytes, 30}, ROOM);
        feed_server(&t, (struct span){bytes, 20}, ROOM);
    }
    turns_end(&t);
    assert_true(t.plain);
    assert_int_equal(t.count, 10);
    assert_int_equal(t.least, 4); /* not the one of the first turn */
    assert_true(turns_most(&t) >= 5);
}

/* What the client has begun to send when it is held, and whether it is content then. */
static enum turns_hold offer(struct turns *t, int text, size_t *passed)
{
    static char bytes[ROOM];
    struct span record = {bytes, put_record(bytes, 23, (size_t)text + TAG)};
    *passed = turns_client(t, record);
    return t->held;
}

static void begin13(struct turns *t)
{
    turns_init(t);
    say(t, -1000);
    say(t, 36);
    say(t, 20);
    say(t, -100);
}

/* Content is held before any of it goes on; commands, and more of the same message, are not. */
static void test_content_is_held(void **state)
{
    (void)state;
    struct turns t;
    size_t passed;
    begin13(&t);
    assert_int_equal(offer(&t, COMMAND, &passed), TURNS_START);
    assert_int_equal(passed, 0);
    turns_pass(&t);
    assert_int_equal(offer(&t, COMMAND, &passed), TURNS_FREE);
    say(&t, -65);

    assert_int_equal(offer(&t, 2000, &passed), TURNS_START);
    turns_pass(&t);
    assert_int_equal(offer(&t, 2000, &passed), TURNS_CONTENT);
    assert_int_equal(passed, 5);
    assert_int_equal(t.up_most, 0); /* what was not passed on is not counted */
    struct turns ended = t;
    turns_end(&ended);
    assert_int_equal(ended.least, 0);
    assert_int_equal(turns_most(&ended), 2); /* of what came before: not by 2,000 octets */
}

static void hold_of(const int *text, enum turns_hold wanted)
{
    struct turns t;
    begin13(&t);
    for (; text[1]; text++) {
        say(&t, *text);
    }
    size_t passed;
    (void)offer(&t, *text, &passed);
    turns_pass(&t);
    assert_int_equal(offer(&t, *text, &passed), wanted);
}

static void test_what_is_held(void **state)
{
    (void)state;
    hold_of((const int[]){ENVELOPE, -65, 256, 0}, TURNS_FREE); /* a command may be as long */
    hold_of((const int[]){ENVELOPE, -65, 257, 0}, TURNS_CONTENT);
    hold_of((const int[]){ENVELOPE, -65, 9000, -27, 9000, 0}, TURNS_FREE); /* a chunk */
    hold_of((const int[]){1300, -65, 9000, 0}, TURNS_FREE);                /* behind the header */
    hold_of((const int[]){ENVELOPE, -65, 9000, -27, 900, -37, 900, 0}, TURNS_CONTENT);
    hold_of((const int[]){ENVELOPE, -65, 9000, -27, ENVELOPE, -65, 900, 0}, TURNS_CONTENT);
}

/* A burst in small records is held when it grows too large for a command. */
static void test_content_in_small_records(void **state)
{
    (void)state;
    struct turns t;
    size_t passed;
    begin13(&t);
    say(&t, ENVELOPE);
    say(&t, -65);
    say(&t, 100);
    say(&t, 100);
    assert_int_equal(offer(&t, 57, &passed), TURNS_CONTENT);
    struct turns whole;
    begin13(&whole);
    for (const int *text = (const int[]){ENVELOPE, -65, 100, 100, 57, 100, -14, 0}; *text; text++) {
        say(&whole, *text);
    }
    turns_end(&whole);
    assert_int_equal(whole.least, 1);
}

/* Nobody waits for replies: what was sent at once is answered in the turns of single octets. */
static void test_most_of_who_does_not_wait(void **state)
{
    (void)state;
    for (int messages = 1; messages <= 40; messages++) {
        struct turns t;
        begin13(&t);
        say(&t, messages * 46);
        for (int reply = 0; reply < messages * 3; reply++) {
            say(&t, -TURNS_REPLY);
            say(&t, 1);
        }
        turns_end(&t);
        assert_true(turns_most(&t) >= (uint32_t)messages);
    }
}

/* Records as small as an alert, whose text counts all the same. */
static void test_most_in_tiny_records(void **state)
{
    (void)state;
    struct turns t;
    begin13(&t);
    for (int octets = 0; octets < 46; octets++) {
        say(&t, 1);
    }
    say(&t, -24);
    turns_end(&t);
    assert_true(turns_most(&t) >= 1);
}

/* The session ends before the server has answered: it may have taken them. */
static void test_most_of_what_nobody_answered(void **state)
{
    (void)state;
    struct turns t;
    begin13(&t);
    say(&t, 10 * 46);
    turns_end(&t);
    assert_true(turns_most(&t) >= 10);
    assert_int_equal(t.least, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flows),
        cmocka_unit_test(test_recordings),
        cmocka_unit_test(test_most_of_one_turn),
        cmocka_unit_test(test_tls12),
        cmocka_unit_test(test_no_tls),
        cmocka_unit_test(test_content_is_held),
        cmocka_unit_test(test_what_is_held),
        cmocka_unit_test(test_content_in_small_records),
        cmocka_unit_test(test_most_of_who_does_not_wait),
        cmocka_unit_test(test_most_in_tiny_records),
        cmocka_unit_test(test_most_of_what_nobody_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
