/* smtp_scan_body(), which looks for the ends of lines, against a loop that looks at each byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/smtp_scan.h"
#include "unit/page_edge.h"

/* --- the oracle --- */

enum oracle_state {
    ORACLE_LINE_START,
    ORACLE_TEXT,
    ORACLE_CR,
    ORACLE_DOT,
    ORACLE_DOT_CR,
    ORACLE_LOOSE_LF, /* the CR that it lacked has been put in; the LF itself is next */
    ORACLE_LOOSE_START,
    ORACLE_LOOSE_DOT,
    ORACLE_CR_DOT,
    ORACLE_DONE,
    ORACLE_BAD,
    ORACLE_PUT_CR, /* from here on the byte is looked at again, in the state of `insertions` */
    ORACLE_PUT_DOT,
    ORACLE_PUT_DOT_CR,
};

/* To a server built on C strings (OpenSMTPD) a NUL behind the dot ends the line. */
enum oracle_byte {
    ORACLE_BYTE_CR,
    ORACLE_BYTE_LF,
    ORACLE_BYTE_DOT,
    ORACLE_BYTE_NUL,
    ORACLE_BYTE_OTHER,
    ORACLE_BYTE_CLASSES
};

static const uint8_t oracle_next[ORACLE_DONE][ORACLE_BYTE_CLASSES] = {
    /*                     CR            LF                dot          NUL        other     */
    [ORACLE_LINE_START] = {ORACLE_CR, ORACLE_PUT_CR, ORACLE_DOT, ORACLE_TEXT, ORACLE_TEXT},
    [ORACLE_TEXT] = {ORACLE_CR, ORACLE_PUT_CR, ORACLE_TEXT, ORACLE_TEXT, ORACLE_TEXT},
    [ORACLE_CR] = {ORACLE_CR, ORACLE_LINE_START, ORACLE_CR_DOT, ORACLE_TEXT, ORACLE_TEXT},
    [ORACLE_DOT] = {ORACLE_DOT_CR, ORACLE_PUT_DOT_CR, ORACLE_TEXT, ORACLE_BAD, ORACLE_TEXT},
    [ORACLE_DOT_CR] = {ORACLE_BAD, ORACLE_DONE, ORACLE_BAD, ORACLE_BAD, ORACLE_BAD},
    [ORACLE_LOOSE_LF] = {ORACLE_BAD, ORACLE_LOOSE_START, ORACLE_BAD, ORACLE_BAD, ORACLE_BAD},
    [ORACLE_LOOSE_START] = {ORACLE_CR, ORACLE_PUT_CR, ORACLE_LOOSE_DOT, ORACLE_TEXT, ORACLE_TEXT},
    [ORACLE_LOOSE_DOT] = {ORACLE_PUT_DOT, ORACLE_PUT_DOT_CR, ORACLE_TEXT, ORACLE_BAD, ORACLE_TEXT},
    [ORACLE_CR_DOT] = {ORACLE_BAD, ORACLE_BAD, ORACLE_TEXT, ORACLE_BAD, ORACLE_TEXT},
};

static const struct {
    struct span text;
    enum oracle_state then;
} insertions[] = {
    {{"\r", 1}, ORACLE_LOOSE_LF},
    {{".", 1}, ORACLE_TEXT},
    {{".\r", 2}, ORACLE_LOOSE_LF},
};

static enum oracle_byte oracle_classify(char c)
{
    switch (c) {
    case '\r':
        return ORACLE_BYTE_CR;
    case '\n':
        return ORACLE_BYTE_LF;
    case '.':
        return ORACLE_BYTE_DOT;
    case '\0':
        return ORACLE_BYTE_NUL;
    default:
        return ORACLE_BYTE_OTHER;
    }
}

static enum smtp_scan oracle_scan_body(
    struct smtp_body *b, struct span in, size_t *size, struct span *insert)
{
    uint8_t state = b->state;
    for (size_t i = 0; i < in.len; i++) {
        if (state == ORACLE_TEXT && (unsigned char)in.at[i] > '\r') {
            continue;
        }
        uint8_t next = oracle_next[state][oracle_classify(in.at[i])];
        switch (next) {
        case ORACLE_DONE:
            b->state = ORACLE_LINE_START;
            *size = i + 1;
            return SMTP_SCAN_DONE;
        case ORACLE_BAD:
            b->state = ORACLE_LINE_START;
            *size = state == ORACLE_DOT_CR ? i - 1 : i;
            return SMTP_SCAN_BAD;
        case ORACLE_PUT_CR:
        case ORACLE_PUT_DOT:
        case ORACLE_PUT_DOT_CR:
            b->state = insertions[next - ORACLE_PUT_CR].then;
            *insert = insertions[next - ORACLE_PUT_CR].text;
            *size = i;
            return SMTP_SCAN_INSERT;
        default:
            state = next;
        }
    }
    /* A CR behind the dot is held back until it is known to be followed by LF: to some servers it
     * would end the data. */
    bool hold = state == ORACLE_DOT_CR;
    b->state = hold ? ORACLE_DOT : state;
    *size = in.len - hold;
    return SMTP_SCAN_MORE;
}

/* --- comparing --- */

struct sides {
    struct smtp_body body, oracle;
};

/* One piece of a body, until all of it but what is held back was taken. Returns how many bytes;
 * `*ended`: it is over. */
static size_t scan_piece(struct sides *s, struct span in, bool *ended)
{
    size_t at = 0;
    enum smtp_scan scan = SMTP_SCAN_INSERT;

    while (scan == SMTP_SCAN_INSERT) {
        struct span rest = {in.at + at, in.len - at};
        struct span insert = SPAN_LITERAL(""), wanted_insert = SPAN_LITERAL("");
        size_t size = 0, wanted_size = 0;
        scan = smtp_scan_body(&s->body, rest, &size, &insert);
        assert_int_equal(oracle_scan_body(&s->oracle, rest, &wanted_size, &wanted_insert), scan);
        assert_int_equal(size, wanted_size);
        assert_true(span_equal(insert, wanted_insert));
        assert_int_equal(s->body.state, s->oracle.state);
        at += size;
    }
    *ended = scan != SMTP_SCAN_MORE;
    return at;
}

static struct sides begin(void)
{
    struct sides s;

    smtp_body_init(&s.body);
    s.oracle = s.body;
    assert_int_equal(s.body.state, ORACLE_LINE_START);
    return s;
}

/* In two pieces that meet at `split`; what the first leaves is given again with the second. A body
 * that ends is followed by another one. */
static void compare_split(struct span in, size_t split)
{
    struct sides s = begin();
    bool ended = false;
    size_t taken = scan_piece(&s, (struct span){in.at, split}, &ended);

    if (!ended) {
        (void)scan_piece(&s, span_skip(in, taken), &ended);
    }
}

static void compare_pieces(struct span in, size_t piece)
{
    struct sides s = begin();
    bool ended = false;

    for (size_t taken = 0, end = 0; end < in.len && !ended;) {
        end = end + piece < in.len ? end + piece : in.len;
        taken += scan_piece(&s, (struct span){in.at + taken, end - taken}, &ended);
    }
}

static uint64_t next(uint64_t *seed) /* xorshift */
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

/* Each short body of these bytes. */
static void test_all_short_bodies(void **state)
{
    static const char bytes[] = {'\r', '\n', '.', '\0', 'a', '\t', '\xff'};
    enum { KINDS = sizeof bytes, LONGEST = 6 };
    struct page_edge edge;

    (void)state;
    page_edge_init(&edge);
    for (size_t len = 1, count = KINDS; len <= LONGEST; len++, count *= KINDS) {
        for (size_t number = 0; number < count; number++) {
            char body[LONGEST];
            for (size_t i = 0, rest = number; i < len; i++, rest /= KINDS) {
                body[i] = bytes[rest % KINDS];
            }
            struct span in = page_edge_copy(&edge, (struct span){body, len});
            for (size_t split = 0; split <= len; split++) {
                compare_split(in, split);
            }
        }
    }
    page_edge_fini(&edge);
}

/* Bodies with lines of all lengths, and now and then something else in them. */
static void test_random_bodies(void **state)
{
    static const char *const odd[] = {"\r",       "\n",    ".",    "\r\n.",    "\n.",
                                      "\r.",      "\r\r",  "\n\n", "\r\n..",   "\r\n.x",
                                      "\r\n\r\n", "\n.\r", "\t",   "\r\n.\r\n"};
    uint64_t seed = 20250101;
    struct page_edge edge;

    (void)state;
    page_edge_init(&edge);
    for (unsigned round = 0; round < 2000; round++) {
        char array[600];
        struct text t;
        uint64_t longest = 1 + next(&seed) % 150;
        text_init(&t, array, sizeof array);
        while (t.len < 400) {
            for (uint64_t n = next(&seed) % longest; n > 0; n--) {
                char c = (char)(next(&seed) % 224 + 32);
                text_add(&t, (struct span){&c, 1});
            }
            bool plain = next(&seed) % 4 > 0;
            text_add(
                &t, plain ? SPAN_LITERAL("\r\n")
                          : span_of(odd[next(&seed) % (sizeof odd / sizeof odd[0])]));
        }
        struct span in = page_edge_copy(&edge, text_span(&t));
        for (size_t split = 0; split <= in.len; split++) {
            compare_split(in, split);
        }
        compare_pieces(in, 1);
        compare_pieces(in, 1 + next(&seed) % 20);
    }
    page_edge_fini(&edge);
}

/* Large bodies in one piece that are full of what is searched for, or of something like it. */
static void test_monotonous_bodies(void **state)
{
    static const char *const parts[] = {"\n",    "\r",       "\r\n", "a\r", "a\n",    "a\r\n",
                                        "\n.\r", "aa\r\r\n", ".",    "a.",  "\r\n..", "a\t"};
    enum { SIZE = 1 << 20 };
    char *body = malloc(SIZE);

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t len = strlen(parts[i]);
        for (size_t at = 0; at < SIZE; at++) {
            body[at] = parts[i][at % len];
        }
        compare_pieces((struct span){body, SIZE}, SIZE);
    }
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_short_bodies),
        cmocka_unit_test(test_random_bodies),
        cmocka_unit_test(test_monotonous_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
