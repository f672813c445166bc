/* Limits and what is left of them, as values for pages. */

#include "subscriber_internal.h"
#include "svc/meter_codec.h"

json_t *subscriber_amount(enum limit_kind kind, uint64_t n)
{
    char array[SUBSCRIBER_NUMBER];
    struct text t;

    text_init(&t, array, sizeof(array));
    limit_amount_words(kind, n, &t);
    return json_string(array);
}

static json_t *limit_of(const struct visit *v, const struct meter_window *w)
{
    json_t *limit = json_pack(
        "{s:s, s:I, s:I, s:o, s:b}", "kind", limit_kind_name(w->kind), "seconds",
        (json_int_t)(w->rate.period_us / 1000000), "count", (json_int_t)w->rate.count, "amount",
        subscriber_amount(w->kind, w->rate.count), "counts_up", limit_kind_counts_up(w->kind));

    if (w->kind != LIMIT_CONCURRENT) {
        json_object_set_new(limit, "period", visit_duration(v, w->rate.period_us));
    }
    return limit;
}

json_t *subscriber_limits(const struct visit *v, const struct conf_class *class)
{
    json_t *list = json_array();
    struct meter_windows windows;

    meter_windows_of(class, METER_ALL_KINDS, &windows);
    for (size_t i = 0; i < windows.count; i++) {
        json_array_append_new(list, limit_of(v, &windows.at[i]));
    }
    return list;
}

/* `left` is what a bar shows: full is good. */
static void add_level(
    const struct visit *v, json_t *limit, const struct meter_window *w,
    const struct meter_level *level)
{
    uint64_t count = w->rate.count, left = meter_left(w, level);

    json_object_set_new(limit, "known", json_true());
    json_object_set_new(limit, "left", json_integer((json_int_t)left));
    json_object_set_new(limit, "left_amount", subscriber_amount(w->kind, left));
    json_object_set_new(limit, "low", json_boolean(left * 5 <= count));
    json_object_set_new(limit, "none", json_boolean(left == 0));
    if (level->full_us > 0) {
        json_object_set_new(limit, "full", visit_duration(v, level->full_us));
    }
}

static void take_levels(struct visit *v, const struct redis_reply *reply)
{
    json_t *list = json_array();
    struct meter_windows windows;
    struct meter_level level;

    meter_windows_of(v->entry.class, METER_ALL_KINDS, &windows);
    for (size_t i = 0; i < windows.count; i++) {
        json_t *limit = limit_of(v, &windows.at[i]);

        if (reply && meter_level_decode(reply, i, &level)) {
            add_level(v, limit, &windows.at[i], &level);
        }
        json_array_append_new(list, limit);
    }
    json_object_set_new(subscriber_view(v)->page, "limits", list);
}

void subscriber_ask_limits(struct visit *v)
{
    struct meter_windows windows;
    struct meter_words words;

    meter_windows_of(v->entry.class, METER_ALL_KINDS, &windows);
    if (v->entry.class->action != ACTION_METER || windows.count == 0) {
        return;
    }
    /* Without a gate there are no functions yet: a page without levels then. */
    meter_words_peek(&words, v->id, &windows);
    visit_try(v, words.at, words.count, take_levels);
}
