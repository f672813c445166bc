/* From what somebody on the telephone says to a subscriber: an address, a prefix, an account, a
 * case id, a domain or a mail server's name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "desk_subscriber.h"
#include "svc/registration_names.h"
#include "svc/registrations.h"
#include "web/signup.h"

#define PATH_MOST  1024
#define WORDS_MOST 256
#define NAMED_MOST 50 /* registrations of one name that are shown */

struct search {
    struct span typed;       /* for the form */
    struct span words;       /* what is looked for */
    struct span account;     /* ... as the name of one; else the words */
    char case_id[CASE_TEXT]; /* empty: it cannot be one */
    bool found;
    char id[DESK_ID];
    json_t *named; /* registrations of a domain or a contact address */
    bool more;     /* of them, than are shown */
};

static struct search *search_of(struct visit *v)
{
    return desk_view(v)->more;
}

static void lead_to(struct visit *v, struct span id, const char *case_id)
{
    char path[PATH_MOST];
    struct text t;

    text_init(&t, path, sizeof(path));
    desk_path(&t, "/desk/subscriber", id);
    if (case_id[0] != '\0') {
        text_addf(&t, "&case=%s#case", case_id);
    }
    visit_redirect(v, path);
}

/* `notice` says what was found out: "" (nothing was asked), "nothing", "no_case", "named". */
static void show(struct visit *v, const char *notice)
{
    const struct search *s = search_of(v);

    desk_put(v, "words", visit_text(s->typed));
    desk_put(v, "notice", json_string(notice));
    desk_show(v, 200, "desk_search");
}

/* `fault`: a word that the template desk_fault_words knows. */
static void show_fault(struct visit *v, int status, const char *fault)
{
    const struct search *s = search_of(v);

    desk_put(v, "words", visit_text(s->typed));
    desk_put(v, "given", visit_text(s->words));
    desk_put(v, "fault", json_string(fault));
    desk_put_prefixes(v);
    desk_show(v, status, "desk_search");
}

/* --- what was typed --- */

/* What can be shown of it: the first WORDS_MOST bytes' whole characters but those that
 * text_is_plain() does not let pass. */
static struct span shown_of(struct visit *v, struct span s)
{
    char *out = visit_alloc(v, WORDS_MOST + 1);
    size_t n = 0;

    for (size_t i = 0, len; i < s.len && i < WORDS_MOST; i += len) {
        len = 1;
        while (i + len < s.len && (s.at[i + len] & 0xc0) == 0x80) {
            len++;
        }
        if (n + len <= WORDS_MOST && text_is_plain((struct span){s.at + i, len}, false)) {
            memcpy(out + n, s.at + i, len);
            n += len;
        }
    }
    return (struct span){out, n};
}

/* Without what stands around it where it was copied from. */
static struct span without_brackets(struct span s)
{
    static const char *const pairs[] = {"()", "[]", "<>"};

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (s.len > 2 && s.at[0] == pairs[i][0] && s.at[s.len - 1] == pairs[i][1]) {
            s = span_trim((struct span){s.at + 1, s.len - 2});
        }
    }
    return s;
}

/* "case CWF5T8D795", as refusals and pages write it. */
static struct span without_case(struct span s)
{
    static const char *const words[] = {"case id", "case", "fallnummer", "fall", "vorgang"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct span rest = span_skip(s, strlen(words[i]));

        if (span_starts_nocase(s, span_of(words[i])) && rest.len > 0 &&
            strchr(" :", rest.at[0]) != NULL) {
            return span_trim(span_skip(rest, 1));
        }
    }
    return s;
}

/* --- addresses --- */

static bool is_subscribers(const struct visit *v, const struct prefix *p)
{
    for (size_t i = 0; i < v->conf->prefix_count; i++) {
        const struct prefix *q = &v->conf->prefixes[i];

        if (p->len >= q->len && prefix_contains(q, &p->addr)) {
            return true;
        }
    }
    return false;
}

/* An address leads to the account that holds it, or to whatever standing holds for it; a prefix to
 * exactly itself. */
static void look_up_prefix(struct visit *v, const struct prefix *p)
{
    struct registry_entry entry;
    char id[REGISTRY_ID];

    if (!is_subscribers(v, p)) {
        show_fault(v, 200, "foreign");
        return;
    }
    if (p->len == addr_bits(p->addr.family)) {
        registry_find(site_registry(v->site), v->conf, &p->addr, v->now_ms / 1000, &entry);
        registry_id(&entry, id);
    } else {
        prefix_format(p, id);
    }
    lead_to(v, span_of(id), "");
}

/* --- cases and accounts --- */

static void set_found(struct search *s, struct span id)
{
    if (id.len < sizeof(s->id)) {
        memcpy(s->id, id.at, id.len);
        s->id[id.len] = '\0';
        s->found = true;
    }
}

static void take_cases(struct visit *v, const struct redis_reply *reply)
{
    struct search *s = search_of(v);
    struct span id;

    if (tally_case_owner(reply, s->case_id, &id)) {
        set_found(s, id);
    }
}

static void take_exists(struct visit *v, const struct redis_reply *reply)
{
    struct search *s = search_of(v);
    int64_t n = 0;

    if (redis_reply_integer(reply, &n) && n > 0) {
        set_found(s, s->account);
    }
}

static void take_units(struct visit *v, const struct redis_reply *reply)
{
    struct span units;

    if (redis_reply_text(reply, &units)) {
        set_found(search_of(v), search_of(v)->account);
    }
}

static void tell_account(struct visit *v)
{
    struct search *s = search_of(v);

    if (s->found) {
        lead_to(v, span_of(s->id), "");
    } else {
        show(v, s->case_id[0] != '\0' ? "no_case" : "nothing");
    }
}

static void ask_leases(struct visit *v)
{
    struct search *s = search_of(v);
    char *account = visit_alloc(v, ACCOUNT_TEXT);

    s->account = s->words;
    if (account_parse(s->words, account)) {
        s->account = span_of(account);
        const struct span words[] = {
            SPAN_LITERAL("HGET"), SPAN_LITERAL(STORE_LEASE_ACCOUNTS), s->account};
        visit_ask(v, words, 3, take_units);
    }
}

/* An account is known by its leases, its standing or its log. */
static void look_up_account(struct visit *v)
{
    struct search *s = search_of(v);
    char log[STORE_KEY], standing[STORE_KEY];

    ask_leases(v);
    if (!desk_id_is_good(s->account)) {
        show(v, "nothing");
        return;
    }
    const struct span in_log[] = {
        SPAN_LITERAL("EXISTS"), store_key(STORE_KEY_LOG, s->account, log)};
    const struct span in_standing[] = {
        SPAN_LITERAL("EXISTS"), store_key(STORE_KEY_STANDING, s->account, standing)};

    visit_ask(v, in_log, 2, take_exists);
    visit_ask(v, in_standing, 2, take_exists);
    visit_then(v, tell_account);
}

/* --- domains and contact addresses --- */

struct named {
    struct site *site;
    uint64_t ticket;
    char id[DESK_ID];
};

/* The set is of ids that had the name once. */
static void forget(struct visit *v, const char *id)
{
    char key[STORE_KEY];
    struct span words[] = {SPAN_LITERAL("SREM"), {"", 0}, span_of(id)};

    if (registration_names_key(search_of(v)->words, key, &words[1])) {
        visit_ask(v, words, 3, NULL);
    }
}

static void on_registration(void *context, const struct registration_seen *seen)
{
    struct named *n = context;
    struct visit *v = visit_of(n->site, n->ticket);

    if (v && !seen) {
        desk_lose(v);
    } else if (
        v && seen->found && registration_names_fit(&seen->registration, search_of(v)->words)) {
        json_t *one = signup_json(&seen->registration);

        json_object_set_new(one, "id", visit_text(span_of(n->id)));
        json_array_append_new(search_of(v)->named, one);
    } else if (v) {
        forget(v, n->id);
    }
    if (v) {
        visit_got(v);
    }
    free(n);
}

static void read_named(struct visit *v, struct span id)
{
    struct named *n = calloc(1, sizeof(*n));

    if (!n) {
        log_error("out of memory");
        abort();
    }
    n->site = v->site;
    n->ticket = visit_wait(v);
    snprintf(n->id, sizeof(n->id), "%.*s", (int)id.len, id.at);
    registrations_read(site_redis(v->site), id, on_registration, n);
}

static void take_names(struct visit *v, const struct redis_reply *reply)
{
    size_t count = redis_reply_count(reply);
    struct span id;

    search_of(v)->more = count > NAMED_MOST;
    for (size_t i = 0; i < count && i < NAMED_MOST; i++) {
        if (redis_reply_text(redis_reply_at(reply, i), &id)) {
            read_named(v, id);
        }
    }
}

/* The words may be an account's name, and somebody's contact address. */
static void add_account(struct search *s)
{
    for (size_t i = 0; i < json_array_size(s->named); i++) {
        const json_t *id = json_object_get(json_array_get(s->named, i), "id");

        if (strcmp(json_string_value(id), s->id) == 0) {
            return;
        }
    }
    json_array_append_new(s->named, json_pack("{s:s}", "id", s->id));
}

static void tell_named(struct visit *v)
{
    struct search *s = search_of(v);
    size_t count;

    if (s->found) {
        add_account(s);
    }
    count = json_array_size(s->named);

    if (count == 1) {
        const char *id = json_string_value(json_object_get(json_array_get(s->named, 0), "id"));

        lead_to(v, span_of(id), "");
    } else if (count > 1) {
        desk_put(v, "results", json_incref(s->named));
        desk_put(v, "more", json_boolean(s->more));
        show(v, "named");
    } else {
        look_up_account(v);
    }
}

static void look_up_name(struct visit *v)
{
    struct search *s = search_of(v);
    char key[STORE_KEY];
    struct span words[] = {SPAN_LITERAL("SMEMBERS"), {"", 0}};

    if (!registration_names_key(s->words, key, &words[1]) || !desk_id_is_good(s->words)) {
        look_up_account(v);
        return;
    }
    s->named = json_array();
    visit_own(v, s->named);
    visit_ask(v, words, 2, take_names);
    ask_leases(v);
    visit_then(v, tell_named);
}

static void tell_case(struct visit *v)
{
    struct search *s = search_of(v);

    if (s->found) {
        lead_to(v, span_of(s->id), s->case_id);
    } else {
        look_up_account(v);
    }
}

static void look_up_case(struct visit *v)
{
    struct search *s = search_of(v);
    char key[STORE_KEY];
    const struct span words[] = {
        SPAN_LITERAL("XREVRANGE"), tally_cases_key(s->case_id, key), SPAN_LITERAL("+"),
        SPAN_LITERAL("-")};

    visit_ask(v, words, 4, take_cases);
    visit_then(v, tell_case);
}

/* "10.20.41" was meant to be an address: it is not said that nothing is known of it. */
static const char *fault_of(const struct visit *v, struct span words)
{
    struct desk_subject subject;
    const char *fault = desk_subject_read(v, words, &subject);

    return fault && strcmp(fault, "account") == 0 ? NULL : fault;
}

static void look_up(struct visit *v, struct search *s)
{
    struct endpoint e;
    struct prefix p;
    enum prefix_error error = prefix_parse(s->words, &p);

    if (endpoint_parse(s->words, &e)) { /* as the journal writes a client */
        p = prefix_of(&e.addr, addr_bits(e.addr.family));
        error = PREFIX_OK;
    }
    if (error == PREFIX_OK || error == PREFIX_HOST_BITS) {
        look_up_prefix(v, &p);
    } else if (tally_case_parse(s->words, s->case_id)) {
        look_up_case(v);
    } else if (fault_of(v, s->words)) {
        show_fault(v, 200, fault_of(v, s->words));
    } else {
        s->case_id[0] = '\0';
        look_up_name(v);
    }
}

void desk_search(struct visit *v)
{
    struct search *s = visit_alloc(v, sizeof(*s));
    struct span typed = form_value(&v->query, "q");

    desk_view(v)->more = s;
    s->typed = shown_of(v, typed);
    s->words = without_brackets(without_case(without_brackets(s->typed)));
    if (typed.len > WORDS_MOST || !text_is_plain(typed, false)) {
        show_fault(v, 422, "text");
    } else if (s->words.len == 0) {
        show(v, "");
    } else {
        look_up(v, s);
    }
}
