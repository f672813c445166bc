#include "core/turns.h"

#include <string.h>

#define HEADER           5
#define RECORD_MOST      18432 /* RFC 5246 6.2.3: 2^14 and 2048 */
#define CHANGE_CIPHER    20
#define APPLICATION_DATA 23

/* Octets of a record that are no text: the tag of any AEAD suite; behind a TLS 1.3 record's text,
 * its true type too; vector, padding and MAC of CBC with SHA-384. */
#define OVERHEAD_LEAST 16
#define OVERHEAD_TLS13 17
#define OVERHEAD_MOST  80
/* No command is so short; an alert of TLS 1.3 is. */
#define TEXT_LEAST 4
/* A burst of one segment has been answered as a whole before the client speaks again. */
#define SEGMENT 1024

enum stage { STAGE_NONE, STAGE_MAIL, STAGE_RCPT, STAGE_DATA };

struct price {
    uint64_t octets, replies;
};

/* "MAIL FROM:a" "RCPT TO:a" "DATA" "." with their line's end; BDAT, which is longer, needs one
 * reply where DATA needs two: a content is taken to have the better of both. */
static const struct price to_stage[TURNS_STAGES] = {{0, 0}, {12, 1}, {22, 2}, {27, 3}};
static const struct price to_end[TURNS_STAGES] = {{29, 3}, {17, 2}, {7, 1}, {2, 1}};
static const struct price whole = {29, 3};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool pays(struct price purse, struct price p)
{
    return purse.octets >= p.octets && purse.replies >= p.replies;
}

/* Messages that `purse` can complete on the way from one stage to another; -1: no way there. */
static int64_t completed(enum stage from, enum stage to, struct price purse)
{
    struct price once = {
        to_end[from].octets + to_stage[to].octets, to_end[from].replies + to_stage[to].replies};
    if (pays(purse, once)) {
        uint64_t octets = (purse.octets - once.octets) / whole.octets;
        uint64_t replies = (purse.replies - once.replies) / whole.replies;
        return 1 + (int64_t)smaller(octets, replies);
    }
    if (to == STAGE_NONE) {
        return 0;
    }
    if (to < from) {
        return -1;
    }
    struct price step = {
        to_stage[to].octets - to_stage[from].octets, to_stage[to].replies - to_stage[from].replies};
    return pays(purse, step) ? 0 : -1;
}

static void pay(struct turns *t, struct price purse)
{
    int64_t best[TURNS_STAGES] = {-1, -1, -1, -1};
    for (enum stage from = STAGE_NONE; from <= STAGE_DATA; from++) {
        for (enum stage to = STAGE_NONE; to <= STAGE_DATA && t->most[from] >= 0; to++) {
            int64_t more = completed(from, to, purse);
            if (more >= 0 && t->most[from] + more > best[to]) {
                best[to] = t->most[from] + more;
            }
        }
    }
    memcpy(t->most, best, sizeof best);
}

static void close_turn(struct turns *t)
{
    uint64_t replies = t->down / TURNS_REPLY > 0 ? t->down / TURNS_REPLY : 1;
    bool content = t->count > 0 && t->up_least > TURNS_COMMAND + TURNS_FURTHER * (replies - 1);
    t->count++;
    if (content && !t->content) {
        t->least++;
    }
    t->content = content;
    t->chunk = content && t->up_most >= TURNS_CHUNK;
    pay(t, (struct price){t->up_most + t->carried, replies});
    t->carried = t->up_most > SEGMENT ? t->up_most : 0;
    t->up_least = t->up_most = t->down = 0;
    t->spoke = t->replied = false;
}

/* True: the client is about to begin a turn, and has not been let. */
static bool begins_turn(struct turns *t)
{
    if (t->replied) {
        close_turn(t);
        t->waiting = true;
    }
    return t->waiting;
}

static void add_client(struct turns *t, uint64_t least, uint64_t most)
{
    t->spoke = true;
    t->up_least += least;
    t->up_most += most;
}

static void add_server(struct turns *t, uint64_t most)
{
    t->replied = t->spoke;
    t->down += most;
}

static uint64_t text_of(uint64_t record, uint64_t overhead)
{
    return record > overhead ? record - overhead : 0;
}

static void on_client_record(struct turns *t, uint16_t size)
{
    bool finished = t->tls13 && !t->began;
    t->began = true;
    uint64_t overhead = t->tls13 ? OVERHEAD_TLS13 : OVERHEAD_MOST;
    uint64_t most = text_of(size, OVERHEAD_LEAST);
    if (!finished && most >= TEXT_LEAST) {
        add_client(t, text_of(size, overhead), most);
    }
}

static void on_server_record(struct turns *t, uint16_t size)
{
    if (t->began) {
        add_server(t, text_of(size, OVERHEAD_LEAST));
    } else {
        t->tls13 = true;
    }
}

static bool is_record(const struct turns_flow *f)
{
    return f->type >= CHANGE_CIPHER && f->type <= APPLICATION_DATA && f->left <= RECORD_MOST;
}

/* One octet of a header. True: it is whole. */
static bool take_header(struct turns *t, struct turns_flow *f, uint8_t octet)
{
    if (f->have == 0) {
        f->type = octet;
        f->left = 0;
    } else if (f->have == 1) {
        t->plain = t->plain || octet != 3; /* the major version, ever since SSL 3 */
    } else if (f->have > 2) {
        f->left = (uint16_t)(f->left << 8 | octet);
    }
    f->have++;
    t->plain = t->plain || !is_record(f);
    return f->have == HEADER;
}

/* Takes what is there of one record. Returns the size of a record of application data whose header
 * has become whole, else 0. */
static uint16_t walk(struct turns *t, struct turns_flow *f, struct span *in)
{
    while (in->len > 0 && f->have < HEADER && !t->plain) {
        bool done = take_header(t, f, (uint8_t)in->at[0]);
        *in = span_skip(*in, 1);
        if (done && !t->plain) {
            uint16_t size = f->type == APPLICATION_DATA ? f->left : 0;
            f->have = f->left > 0 ? HEADER : 0;
            return size;
        }
    }
    size_t rest = smaller(f->left, in->len);
    if (f->have == HEADER) {
        *in = span_skip(*in, rest);
        f->left = (uint16_t)(f->left - rest);
        f->have = f->left > 0 ? HEADER : 0;
    }
    return 0;
}

void turns_init(struct turns *t)
{
    memset(t, 0, sizeof *t);
    t->most[STAGE_MAIL] = t->most[STAGE_RCPT] = t->most[STAGE_DATA] = -1;
}

size_t turns_client(struct turns *t, struct span bytes)
{
    struct span rest = bytes;
    while (rest.len > 0) {
        bool starts = t->plain || (t->client.have == 0 && (uint8_t)rest.at[0] == APPLICATION_DATA);
        if (starts && begins_turn(t)) {
            break;
        }
        if (t->plain) {
            t->began = true;
            add_client(t, rest.len, rest.len);
            rest.len = 0;
        } else {
            uint16_t size = walk(t, &t->client, &rest);
            if (size > 0) {
                on_client_record(t, size);
            }
        }
    }
    return bytes.len - rest.len;
}

void turns_pass(struct turns *t)
{
    t->waiting = false;
}

void turns_server(struct turns *t, struct span bytes)
{
    while (bytes.len > 0 && !t->plain) {
        uint16_t size = walk(t, &t->server, &bytes);
        if (size > 0) {
            on_server_record(t, size);
        }
    }
    if (bytes.len > 0) {
        add_server(t, bytes.len);
    }
}

void turns_end(struct turns *t)
{
    if (t->replied) {
        close_turn(t);
    }
}

uint32_t turns_most(const struct turns *t)
{
    int64_t most = t->least;
    for (enum stage s = STAGE_NONE; s <= STAGE_DATA; s++) {
        most = t->most[s] > most ? t->most[s] : most;
    }
    return most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

bool turns_between(const struct turns *t)
{
    return t->waiting && t->count > 1 && !t->chunk;
}
