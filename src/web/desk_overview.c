/* The desk's first page: who is busy, and who is held back. */
#include <string.h>

#include "desk_internal.h"

#define SHOWN 15

/* The lists in the order of the page; `kind` names what they are sorted by. */
static const enum tally_kind kinds[] = {TALLY_DEFERRALS, TALLY_REFUSALS, TALLY_SESSIONS};

#define LISTS (sizeof(kinds) / sizeof(kinds[0]))

static void add_list(
    struct visit *v, enum tally_kind kind, const struct tally_row *rows, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, desk_row(v, &rows[i]));
    }
    json_array_append_new(
        desk_view(v)->more,
        json_pack("{s:s, s:b, s:o}", "by", tally_kind_name(kind), "any", count > 0, "rows", list));
}

static void take_deferred(struct visit *v, const struct tally_row *rows, size_t count)
{
    add_list(v, TALLY_DEFERRALS, rows, count);
}

static void take_refused(struct visit *v, const struct tally_row *rows, size_t count)
{
    add_list(v, TALLY_REFUSALS, rows, count);
}

static void take_busiest(struct visit *v, const struct tally_row *rows, size_t count)
{
    add_list(v, TALLY_SESSIONS, rows, count);
}

/* Answers may come in any order. */
static json_t *in_order(const json_t *lists)
{
    json_t *out = json_array();

    for (size_t i = 0; i < LISTS; i++) {
        for (size_t j = 0; j < json_array_size(lists); j++) {
            json_t *list = json_array_get(lists, j);
            const char *by = json_string_value(json_object_get(list, "by"));

            if (strcmp(by, tally_kind_name(kinds[i])) == 0) {
                json_array_append(out, list);
            }
        }
    }
    return out;
}

static void take_standings(struct visit *v, const struct redis_reply *reply)
{
    int64_t n = 0;

    (void)redis_reply_integer(reply, &n);
    desk_put(v, "standings", json_integer(n));
}

static void show(struct visit *v)
{
    desk_put(v, "lists", in_order(desk_view(v)->more));
    desk_put(v, "now", visit_time(v->now_ms));
    desk_show(v, 200, "desk_overview");
}

void desk_overview(struct visit *v)
{
    const struct span standings[] = {SPAN_LITERAL("HLEN"), SPAN_LITERAL(STORE_STANDINGS)};

    desk_view(v)->more = json_array();
    visit_own(v, desk_view(v)->more);
    desk_ask_top(v, TALLY_DEFERRALS, SHOWN, take_deferred);
    desk_ask_top(v, TALLY_REFUSALS, SHOWN, take_refused);
    desk_ask_top(v, TALLY_SESSIONS, SHOWN, take_busiest);
    desk_ask_pending_count(v);
    visit_ask(v, standings, 2, take_standings);
    visit_then(v, show);
}
