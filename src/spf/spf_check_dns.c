/* What libspf2 asks of the DNS: the memo that answers it, and the limits on what it asks. */
#include "spf_check_internal.h"

#include <stdlib.h>
#include <string.h>

#include <spf2/spf_dns_rr.h>

/* libspf2 compiles 512 bytes of mechanisms, as many of modifiers, and forgets the rest. A term
 * takes less than half of that. */
#define COMPILED_MOST 512
#define EXP_MOST      512 /* bytes of an explanation that libspf2 may expand */

/* --- the memo ------------------------------------------------------------------------------------
 */

void spf_check_keep(char *out, size_t cap, struct span s)
{
    struct text t;
    text_init(&t, out, cap);
    text_add(&t, s);
}

/* The entry for a name that libspf2 asks for; a new one where there was none. NULL: no name that
 * the DNS could know, or too many of them. */
static struct entry *find(struct spf_check *c, const char *domain, uint16_t type)
{
    size_t len = strlen(domain);
    len -= len > 0 && domain[len - 1] == '.';
    if (len == 0 || len >= SPF_CHECK_NAME) {
        return NULL;
    }
    struct span name = {domain, len};
    for (size_t i = 0; i < c->entries; i++) {
        if (c->entry[i]->type == type && span_equal_nocase(span_of(c->entry[i]->name), name)) {
            return c->entry[i];
        }
    }
    struct entry *e = c->entries < SPF_CHECK_MEMO ? calloc(1, sizeof(*e)) : NULL;
    if (!e) {
        c->broken = "too many questions to the DNS";
        return NULL;
    }
    spf_check_keep(e->name, sizeof(e->name), name);
    e->type = type;
    c->entry[c->entries++] = e;
    return e;
}

static void forget_records(struct entry *e)
{
    while (e->count > 0) {
        free(e->record[--e->count]);
    }
}

void spf_check_forget(struct spf_check *c)
{
    for (size_t i = 0; i < c->entries; i++) {
        forget_records(c->entry[i]);
        free(c->entry[i]);
    }
}

int spf_check_add(struct spf_check *c, size_t i, struct span record)
{
    struct entry *e = c->entry[i];
    if (e->count == RECORDS_MOST) {
        return -1;
    }
    struct answer_record *r = malloc(sizeof(*r) + record.len + 1);
    if (!r) {
        return -1;
    }
    r->len = record.len;
    memcpy(r->bytes, record.at, record.len);
    r->bytes[record.len] = '\0';
    e->record[e->count++] = r;
    return 0;
}

void spf_check_answer(struct spf_check *c, size_t i, enum spf_dns_state state)
{
    struct entry *e = c->entry[i];
    if (state != SPF_DNS_FOUND) {
        forget_records(e);
    }
    e->state = state == SPF_DNS_FOUND && e->count == 0 ? SPF_DNS_EMPTY : state;
}

size_t spf_check_count(const struct spf_check *c)
{
    return c->entries;
}

enum spf_dns_state spf_check_state(const struct spf_check *c, size_t i)
{
    return c->entry[i]->state;
}

const char *spf_check_name(const struct spf_check *c, size_t i)
{
    return c->entry[i]->name;
}

uint16_t spf_check_type(const struct spf_check *c, size_t i)
{
    return c->entry[i]->type;
}

/* --- the layer that libspf2 asks -----------------------------------------------------------------
 */

static bool is_of_source(const struct spf_check *c, const struct entry *e)
{
    if (!c->source || (e->type != ns_t_a && e->type != ns_t_aaaa)) {
        return false;
    }
    for (size_t i = 0; i < c->source->count; i++) {
        struct span name = {c->source->record[i]->bytes, c->source->record[i]->len};
        if (span_equal_nocase(name, span_of(e->name))) {
            return true;
        }
    }
    return false;
}

/* Counts as RFC 7208 section 4.6.4 does. False: it is too much. */
static bool count_lookup(struct spf_check *c, const struct entry *e)
{
    if (!c->begun) {
        c->begun = true;
        return true;
    }
    if (is_of_source(c, e)) {
        if (++c->of_source > SPF_CHECK_NAMES && c->source->type == ns_t_mx) {
            c->broken = "more than 10 names of one mx";
        }
        return c->of_source <= SPF_CHECK_NAMES;
    }
    c->source = e->type == ns_t_mx || e->type == ns_t_ptr ? e : NULL;
    c->of_source = 0;
    if (++c->lookups > SPF_CHECK_LOOKUPS) {
        c->broken = "more than 10 terms that ask the DNS";
    } else if (e->state == SPF_DNS_EMPTY && ++c->voids > SPF_CHECK_VOIDS) {
        c->broken = "more than 2 lookups without an answer";
    }
    return !c->broken;
}

static bool is_spf_record(const struct answer_record *r)
{
    struct span text = {r->bytes, r->len};
    return span_starts_nocase(text, SPAN_LITERAL("v=spf1")) && (r->len == 6 || r->bytes[6] == ' ');
}

/* Does libspf2 see this record? */
static bool is_shown(
    struct spf_check *c, const struct entry *e, const struct answer_record *r, bool explains)
{
    if (memchr(r->bytes, '\0', r->len) && e->type != ns_t_a && e->type != ns_t_aaaa) {
        return false;
    }
    switch (e->type) {
    case ns_t_a:
        return r->len == 4;
    case ns_t_aaaa:
        return r->len == 16;
    case ns_t_txt:
        if (explains) {
            return r->len > 0 && r->len <= EXP_MOST && e->count == 1;
        }
        if (!is_spf_record(r)) {
            return false;
        }
        if (r->len > SPF_CHECK_RECORD) {
            c->broken = "a record of more than 2048 bytes";
            return false;
        }
        c->record = r;
        return true;
    default:
        return r->len > 0 && r->len < SPF_CHECK_NAME;
    }
}

/* libspf2 makes "%" of each space of an explanation, and leaves the macros behind it alone: it
 * wants
 * "%_" for them. */
static void mark_spaces(char *out, const struct answer_record *r)
{
    for (size_t i = 0; i < r->len; i++) {
        if (r->bytes[i] == ' ') {
            *out++ = '%';
        }
        *out++ = (char)(r->bytes[i] == ' ' ? '_' : r->bytes[i]);
    }
    *out = '\0';
}

static bool show(SPF_dns_rr_t *rr, const struct answer_record *r, bool explains)
{
    size_t size = sizeof(SPF_dns_rr_data_t) + 2 * r->len + 2;
    if (SPF_dns_rr_buf_realloc(rr, rr->num_rr, size) != SPF_E_SUCCESS) {
        return false;
    }
    if (explains) {
        mark_spaces(rr->rr[rr->num_rr]->txt, r);
    } else {
        memcpy(rr->rr[rr->num_rr], r->bytes, r->len + 1);
    }
    if (!explains && is_spf_record(r) && r->len == 6) {
        memcpy(rr->rr[rr->num_rr]->txt + 6, " ", 2); /* libspf2 wants it */
    }
    rr->num_rr++;
    return true;
}

static SPF_dns_rr_t *show_all(
    struct spf_check *c, const struct entry *e, SPF_dns_rr_t *rr, bool explains)
{
    for (size_t i = 0; i < e->count && !c->broken; i++) {
        if (is_shown(c, e, e->record[i], explains) && !show(rr, e->record[i], explains)) {
            SPF_dns_rr_free(rr);
            return NULL;
        }
    }
    rr->herrno = c->broken ? TRY_AGAIN : rr->num_rr > 0 ? NETDB_SUCCESS : NO_DATA;
    return rr;
}

/* An explanation's text is no term, and what is wrong with it changes nothing. */
static SPF_dns_rr_t *look_up(struct spf_check *c, SPF_dns_rr_t *rr, bool explains)
{
    static const int errors[] = {
        [SPF_DNS_WANTED] = TRY_AGAIN,
        [SPF_DNS_FOUND] = NETDB_SUCCESS,
        [SPF_DNS_EMPTY] = HOST_NOT_FOUND,
        [SPF_DNS_FAILED] = TRY_AGAIN,
    };
    struct entry *e = find(c, rr->domain, (uint16_t)rr->rr_type);
    if (!e || (!explains && !count_lookup(c, e))) {
        return rr;
    }
    c->missing = e->state == SPF_DNS_WANTED;
    c->record_failed = c->record_failed || (c->wants_record && e->state == SPF_DNS_FAILED);
    rr->herrno = errors[e->state];
    return e->state == SPF_DNS_FOUND ? show_all(c, e, rr, explains) : rr;
}

/* Never NO_RECOVERY: libspf2 reads the answer after it has freed it. */
static SPF_dns_rr_t *on_lookup(SPF_dns_server_t *layer, const char *domain, ns_type type, int cache)
{
    (void)cache;
    struct spf_check *c = layer->hook;
    bool explains = type == ns_t_txt && !c->wants_record;
    SPF_dns_rr_t *rr = SPF_dns_rr_new_init(layer, domain, type, 0, NO_DATA);
    if (!rr || type == ns_t_spf) { /* RFC 7208 section 3.1: TXT alone */
        return rr;
    }
    if (c->broken || c->missing) {
        rr->herrno = TRY_AGAIN;
        return rr;
    }
    return look_up(c, rr, explains);
}

static unsigned count_terms(struct span record)
{
    unsigned words = 0;
    for (size_t i = 1; i < record.len; i++) {
        words += record.at[i] != ' ' && record.at[i - 1] == ' ';
    }
    return words;
}

/* Did libspf2 leave terms out for want of room? */
static bool is_cut(const struct spf_check *c, const SPF_record_t *compiled)
{
    bool full = compiled->mech_len > COMPILED_MOST / 2 || compiled->mod_len > COMPILED_MOST / 2;
    unsigned terms = count_terms((struct span){c->record->bytes, c->record->len});
    return full && (unsigned)compiled->num_mech + compiled->num_mod < terms;
}

/* Between these two calls libspf2 looks for a domain's record, and for nothing else. */
static SPF_errcode_t on_record(
    SPF_server_t *server, SPF_request_t *request, SPF_response_t *response, SPF_record_t **record)
{
    SPF_dns_server_t *layer = server->resolver;
    struct spf_check *c = layer->hook;
    layer->get_spf = NULL;
    c->wants_record = true;
    SPF_errcode_t error = SPF_server_get_record(server, request, response, record);
    c->wants_record = false;
    layer->get_spf = on_record;
    if (error == SPF_E_SUCCESS && is_cut(c, *record)) {
        c->broken = "a record of more terms than this version can read";
    }
    return error;
}

void spf_check_begin(struct spf_check *c)
{
    c->layer =
        (SPF_dns_server_t){.lookup = on_lookup, .get_spf = on_record, .name = "memo", .hook = c};
    c->missing = c->begun = c->wants_record = c->record_failed = false;
    c->broken = NULL;
    c->lookups = c->voids = c->of_source = 0;
    c->source = NULL;
}
