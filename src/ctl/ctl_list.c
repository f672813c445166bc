#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/store_keys.h"
#include "ctl/ctl_lease.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_time.h"
#include "ctl/ctl_verbs.h"
#include "svc/standing_map.h"

#define CURSOR 32

struct row {
    struct prefix prefix; /* ADDR_NONE: the id is none */
    char *id;
    char class[CONF_NAME];
    int64_t until_s;
};

struct list {
    const char *class;         /* NULL: any */
    struct class_names others; /* classes of standings, met and not listed */
    struct row *rows;
    size_t count, cap;
    char cursor[CURSOR];
    bool failed;
};

static bool add(struct list *l, struct span id, struct span class, int64_t until_s)
{
    struct row *row;

    if (l->count == l->cap) {
        size_t cap = l->cap == 0 ? 256 : l->cap * 2;
        struct row *rows = realloc(l->rows, cap * sizeof(*rows));

        if (rows == NULL) {
            return false;
        }
        l->rows = rows;
        l->cap = cap;
    }
    row = &l->rows[l->count];
    *row = (struct row){.until_s = until_s, .id = strndup(id.at, id.len)};
    if (row->id == NULL) {
        return false;
    }
    snprintf(row->class, sizeof(row->class), "%.*s", (int)class.len, class.at);
    if (prefix_parse(id, &row->prefix) != PREFIX_OK) {
        row->prefix = (struct prefix){0};
    }
    l->count++;
    return true;
}

static void use_page(void *context, const struct redis_reply *reply)
{
    struct list *l = context;
    const struct redis_reply *pairs = redis_reply_at(reply, 1);
    size_t count = redis_reply_count(pairs);
    struct span cursor = SPAN_LITERAL("0");

    redis_reply_text(redis_reply_at(reply, 0), &cursor);
    snprintf(l->cursor, sizeof(l->cursor), "%.*s", (int)cursor.len, cursor.at);
    for (size_t i = 0; i + 1 < count; i += 2) {
        struct span id, value, class;
        int64_t until_s;

        if (!redis_reply_text(redis_reply_at(pairs, i), &id) ||
            !redis_reply_text(redis_reply_at(pairs, i + 1), &value) ||
            !standing_parse(value, &class, &until_s)) {
            continue;
        }
        if (l->class != NULL && !span_equal(class, span_of(l->class))) {
            class_names_intern(&l->others, class);
            continue;
        }
        if (!add(l, id, class, until_s)) {
            l->failed = true;
        }
    }
}

static int compare(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = x->prefix.addr.family - y->prefix.addr.family;

    if (order == 0) {
        order = memcmp(x->prefix.addr.bytes, y->prefix.addr.bytes, sizeof(x->prefix.addr.bytes));
    }
    if (order == 0) {
        order = x->prefix.len - y->prefix.len;
    }
    return order != 0 ? order : strcmp(x->id, y->id);
}

static int read_all(struct ctl *c, struct list *l)
{
    do {
        const struct span words[] = {
            SPAN_LITERAL("HSCAN"), SPAN_LITERAL(STORE_STANDINGS), span_of(l->cursor),
            SPAN_LITERAL("COUNT"), SPAN_LITERAL("1000"),
        };

        if (ctl_call(c, words, 5, CTL_ANSWER_MS, use_page, l) != 0) {
            return -1;
        }
        if (l->failed) {
            ctl_say("out of memory");
            return -1;
        }
    } while (strcmp(l->cursor, "0") != 0);
    if (l->count > 0) {
        qsort(l->rows, l->count, sizeof(*l->rows), compare);
    }
    return 0;
}

/* HSCAN may tell of an entry twice; sorted, the two are neighbours. */
static bool is_repeated(const struct list *l, size_t i)
{
    return i > 0 && strcmp(l->rows[i - 1].id, l->rows[i].id) == 0;
}

static int print_json(const struct ctl *c, const struct list *l)
{
    json_t *all = json_array();

    for (size_t i = 0; i < l->count; i++) {
        const struct row *row = &l->rows[i];

        if (!is_repeated(l, i)) {
            json_array_append_new(
                all, json_pack(
                         "{s:o, s:o, s:b, s:o, s:b}", "id", ctl_text_json(span_of(row->id)),
                         "class", ctl_text_json(span_of(row->class)), "class_known",
                         ctl_class_known(c, row->class), "until", ctl_time_json(row->until_s),
                         "ended", row->until_s != 0 && row->until_s <= c->now_s));
        }
    }
    return ctl_json_print(all);
}

static void print_row(const struct ctl *c, const struct row *row)
{
    char line[1024], until[CTL_TIME_TEXT];
    struct text t;

    text_init(&t, line, sizeof(line));
    ctl_text_escape(span_of(row->id), &t);
    text_addf(&t, "%s", ctl_id_length(row->id));
    text_addf(&t, "%*s", t.len < 26 ? (int)(26 - t.len) : 1, "");
    ctl_text_escape(span_of(row->class), &t);
    if (row->until_s != 0) {
        ctl_time_format(row->until_s, until);
        text_addf(
            &t, "%*s%s %s", t.len < 40 ? (int)(40 - t.len) : 1, "",
            row->until_s <= c->now_s ? "ended" : "until", until);
    }
    if (!ctl_class_known(c, row->class)) {
        text_addf(&t, "%*s(" CTL_CLASS_UNKNOWN ")", t.len < 40 ? (int)(40 - t.len) : 1, "");
    }
    puts(line);
}

static void print_list(const struct ctl *c, const struct list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (!is_repeated(l, i)) {
            print_row(c, &l->rows[i]);
        }
    }
}

static void say_no_class(const struct ctl *c, const struct list *l)
{
    char known[2048];
    struct text t;

    text_init(&t, known, sizeof(known));
    ctl_class_list(c, &t);
    for (uint32_t i = 0; i < l->others.count; i++) {
        if (!ctl_class_known(c, l->others.name[i])) {
            text_addf(&t, ", %s (of standings only)", l->others.name[i]);
        }
    }
    ctl_say(
        "no class \"%s\" is in the configuration, nor has any standing it; there are: %s", l->class,
        known);
}

/* Adds the addresses and prefixes for which the standing holds now. -1: said why. */
static int add_units(struct ctl *c, const struct row *row, json_t *units)
{
    struct ctl_subject who = {.prefix = row->prefix};
    json_t *leases;

    if ((row->until_s != 0 && row->until_s <= c->now_s) || !ctl_class_known(c, row->class)) {
        return 0;
    }
    if (row->prefix.addr.family != ADDR_NONE) {
        if (!ctl_lease_hides(c, &who)) {
            json_array_append_new(units, json_string(row->id));
        }
        return 0;
    }
    who.account = account_parse(span_of(row->id), who.id);
    leases = who.account ? ctl_leases_read(c, &who) : json_array();
    for (size_t i = 0; i < json_array_size(leases); i++) {
        json_array_append(units, json_object_get(json_array_get(leases, i), "unit"));
    }
    json_decref(leases);
    return leases == NULL ? -1 : 0;
}

static enum ctl_exit print_units(struct ctl *c, const struct list *l)
{
    json_t *units = json_array();

    for (size_t i = 0; i < l->count; i++) {
        if (!is_repeated(l, i) && add_units(c, &l->rows[i], units) != 0) {
            json_decref(units);
            return CTL_REFUSED;
        }
    }
    if (c->options->json) {
        return ctl_json_print(units) == 0 ? CTL_DONE : CTL_REFUSED;
    }
    for (size_t i = 0; i < json_array_size(units); i++) {
        puts(json_string_value(json_array_get(units, i)));
    }
    json_decref(units);
    return CTL_DONE;
}

static enum ctl_exit print_found(struct ctl *c, const struct list *l)
{
    if (l->class != NULL && l->count == 0 && !ctl_class_known(c, l->class)) {
        say_no_class(c, l);
        return CTL_REFUSED;
    }
    if (c->options->units) {
        return print_units(c, l);
    }
    if (c->options->json) {
        return print_json(c, l) == 0 ? CTL_DONE : CTL_REFUSED;
    }
    print_list(c, l);
    return CTL_DONE;
}

enum ctl_exit ctl_list(struct ctl *c)
{
    struct list l = {.class = c->options->argument, .cursor = "0"};
    enum ctl_exit result = CTL_REFUSED;

    if (ctl_connect(c, NULL) == 0 && read_all(c, &l) == 0) {
        result = print_found(c, &l);
    }
    for (size_t i = 0; i < l.count; i++) {
        free(l.rows[i].id);
    }
    free(l.rows);
    class_names_fini(&l.others);
    return result;
}
