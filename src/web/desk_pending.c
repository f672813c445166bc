/* Registrations that wait for the desk, the oldest first, page by page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "desk_pending.h"
#include "web/signup.h"

#define SHOWN 25
#define MOST  1000000000 /* a place in the list; nobody has so many */

/* The page: `more`. */
struct pending {
    json_t *list;
    json_int_t count, first;         /* how many wait; the place of the page's first one */
    const struct desk_undecided *on; /* NULL: no form is shown again */
    const char *done;                /* that the visitor comes back from; "": nothing */
    int status;
};

static struct pending *pending_of(struct visit *v)
{
    return desk_view(v)->more;
}

struct desk_one *desk_one_new(struct visit *v, struct span id, size_t at)
{
    struct desk_one *o = calloc(1, sizeof(*o));

    if (!o) {
        log_error("out of memory");
        abort();
    }
    o->site = v->site;
    o->ticket = visit_wait(v);
    o->at = at;
    snprintf(o->id, sizeof(o->id), "%.*s", (int)id.len, id.at);
    return o;
}

void desk_version(const struct registration *r, char out[DESK_VERSION])
{
    snprintf(out, DESK_VERSION, "%llu", (unsigned long long)r->version);
}

static json_t *registration_json(const struct registration_seen *seen)
{
    json_t *out = signup_json(&seen->registration);
    char version[DESK_VERSION];

    desk_version(&seen->registration, version);
    json_object_set_new(out, "version", json_string(version));
    return out;
}

/* --- of one subscriber --- */

static void on_registration(void *context, const struct registration_seen *seen)
{
    struct desk_one *o = context;
    struct visit *v = visit_of(o->site, o->ticket);

    free(o);
    if (v && !seen) {
        desk_lose(v);
    } else if (v && seen->found) {
        desk_put(v, "registration", registration_json(seen));
    }
    if (v) {
        visit_got(v);
    }
}

void desk_ask_registration(struct visit *v, struct span id)
{
    registrations_read(site_redis(v->site), id, on_registration, desk_one_new(v, id, 0));
}

const char *desk_decided(struct visit *v, struct span done)
{
    static const struct {
        const char *done, *states[2];
    } rows[] = {{"approved", {"probation", "registered"}}, {"refused", {"refused", "refused"}}};
    json_t *registration = json_object_get(desk_view(v)->page, "registration");
    const char *state = json_string_value(json_object_get(registration, "state"));

    for (size_t i = 0; state && i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (span_equal(done, span_of(rows[i].done)) &&
            (strcmp(state, rows[i].states[0]) == 0 || strcmp(state, rows[i].states[1]) == 0)) {
            return rows[i].done;
        }
    }
    return "";
}

/* --- how many --- */

static void take_count(struct visit *v, const struct redis_reply *reply)
{
    int64_t n = 0;

    (void)redis_reply_integer(reply, &n);
    desk_put(v, "pending", json_integer(n));
    desk_put(v, "any_pending", json_boolean(n > 0));
}

void desk_ask_pending_count(struct visit *v)
{
    const struct span words[] = {SPAN_LITERAL("ZCARD"), SPAN_LITERAL(STORE_PENDING)};

    visit_ask(v, words, 2, take_count);
}

/* --- the list --- */

static void on_seen(void *context, const struct registration_seen *seen)
{
    struct desk_one *o = context;
    struct visit *v = visit_of(o->site, o->ticket);

    if (v && !seen) {
        desk_lose(v);
    } else if (v && seen->found && seen->registration.state == REGISTRATION_PENDING) {
        json_t *one = registration_json(seen);

        json_object_set_new(one, "id", visit_text(span_of(o->id)));
        json_object_set_new(one, "at", json_integer((json_int_t)o->at));
        json_array_set_new(pending_of(v)->list, o->at, one);
    }
    if (v) {
        visit_got(v);
    }
    free(o);
}

static void on_list(void *context, const struct span *ids, size_t count, bool ok)
{
    struct desk_one *o = context;
    struct visit *v = visit_of(o->site, o->ticket);

    free(o);
    if (!v) {
        return;
    }
    if (!ok) {
        desk_lose(v);
    }
    for (size_t i = 0; ok && i < count; i++) {
        json_array_append_new(pending_of(v)->list, json_null());
    }
    for (size_t i = 0; ok && i < count; i++) {
        registrations_read(site_redis(v->site), ids[i], on_seen, desk_one_new(v, ids[i], i));
    }
    visit_got(v);
}

/* --- the page --- */

/* A place in the list for a link: 0 would be nothing to a template. */
static void put_place(struct visit *v, const char *name, json_int_t place)
{
    desk_put(v, name, json_sprintf("%" JSON_INTEGER_FORMAT, place));
}

static void put_places(struct visit *v, size_t shown)
{
    const struct pending *p = pending_of(v);
    json_int_t last = (p->count - 1) / SHOWN * SHOWN;

    put_place(v, "back", p->first);
    if (p->count <= SHOWN) {
        return;
    }
    desk_put(
        v, "places",
        json_pack("{s:I, s:I}", "from", p->first + 1, "to", p->first + (json_int_t)shown));
    if (p->first > 0) {
        put_place(v, "previous", p->first > SHOWN ? p->first - SHOWN : 0);
    }
    if (p->first < last) {
        put_place(v, "next", p->first + SHOWN);
        put_place(v, "last", last);
    }
}

/* Back into its card goes what was typed; if there is no such card any more, above them. */
static void put_typed(struct visit *v, json_t *entries)
{
    const struct desk_undecided *u = pending_of(v)->on;
    bool there = false;
    size_t i;
    json_t *one;

    json_array_foreach(entries, i, one)
    {
        const char *id = json_string_value(json_object_get(one, "id"));

        if (span_equal(u->id, span_of(id))) {
            there = true;
            put_place(v, "card", json_integer_value(json_object_get(one, "at")));
            json_object_set_new(one, "typed_reason", desk_typed(u->reason));
            json_object_set_new(one, "fault", json_string(u->why));
        }
    }
    desk_put(v, "undecided", json_string(u->why));
    desk_put(v, "about", visit_text(u->id));
    if (!there) {
        desk_put(v, "lost", desk_typed(u->reason));
    }
}

static void show(struct visit *v)
{
    struct pending *p = pending_of(v);
    json_t *there = json_array();

    /* One that was decided between the two questions is a hole. */
    for (size_t i = 0; i < json_array_size(p->list); i++) {
        if (json_is_object(json_array_get(p->list, i))) {
            json_array_append(there, json_array_get(p->list, i));
        }
    }
    desk_put(v, "decided", json_string(desk_decided(v, span_of(p->done))));
    if (p->on) {
        put_typed(v, there);
    }
    put_places(v, json_array_size(p->list));
    desk_put(v, "entries", there);
    desk_show(v, p->status, "desk_pending");
}

/* Behind the end of a list that has become shorter is its last page. */
static void ask_page(struct visit *v)
{
    struct pending *p = pending_of(v);

    p->count = json_integer_value(json_object_get(desk_view(v)->page, "pending"));
    if (p->first >= p->count) {
        p->first = p->count > 0 ? (p->count - 1) / SHOWN * SHOWN : 0;
    }
    registrations_list_pending(
        site_redis(v->site), (unsigned)p->first, SHOWN, on_list,
        desk_one_new(v, SPAN_LITERAL(""), 0));
    visit_then(v, show);
}

/* The page from the `from`-th on; visit_then() is still to be called. */
static struct pending *begin(struct visit *v, int status, struct span from)
{
    struct pending *p = visit_alloc(v, sizeof(*p));
    uint64_t first = 0;

    (void)span_number(from, MOST, &first);
    *p = (struct pending){
        .list = json_array(), .first = (json_int_t)first, .done = "", .status = status};
    desk_view(v)->more = p;
    visit_own(v, p->list);
    desk_ask_pending_count(v);
    return p;
}

void desk_pending_again(
    struct visit *v, int status, struct span from, const struct desk_undecided *u)
{
    begin(v, status, from)->on = u;
    visit_then(v, ask_page);
}

void desk_pending(struct visit *v)
{
    struct pending *p = begin(v, 200, form_value(&v->query, "from"));
    struct span id = form_value(&v->query, "id");

    p->done = visit_copy(v, form_value(&v->query, "done"));
    if (desk_id_is_good(id)) {
        desk_put(v, "about", visit_text(id));
        desk_ask_registration(v, id);
    }
    visit_then(v, ask_page);
}
