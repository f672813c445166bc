/* What libspf2 asks of the DNS: the memo that answers it, and the limits on what it asks. */
#include "spf_check_internal.h"

#include <stdlib.h>
#include <string.h>

#include <spf2/spf_dns_rr.h>

#include "core/spf_record.h"

/* libspf2 compiles 512 bytes of mechanisms, as many of modifiers, and forgets the rest. A term
 * takes less than half of that. */
#define COMPILED_MOST 512
#define EXP_MOST      512 /* bytes of an explanation that libspf2 may expand */

/* --- the memo ------------------------------------------------------------------------------------
 */

/* Could the DNS know such a name? Macros can make others. */
static bool is_name(struct span s)
{
    size_t start = 0;
    for (size_t i = 0; i <= s.len; i++) {
        if (i == s.len || s.at[i] == '.') {
            if (i == start || i - start > 63) {
                return false;
            }
            start = i + 1;
        }
    }
    return s.len < SPF_CHECK_NAME;
}

/* The entry for a name that libspf2 asks for; a new one where there was none. NULL: no name that
 * the DNS could know, or too many of them. */
static struct entry *find(struct spf_check *c, const char *domain, uint16_t type)
{
    size_t len = strlen(domain);
    len -= len > 0 && domain[len - 1] == '.';
    struct span name = {domain, len};
    if (!is_name(name)) {
        return NULL;
    }
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
    struct text t;
    text_init(&t, e->name, sizeof(e->name));
    text_add(&t, name);
    e->type = type;
    c->entry[c->entries++] = e;
    return e;
}

void spf_check_expect(struct spf_check *c, const char *domain)
{
    (void)find(c, domain, ns_t_txt);
}

static void forget_records(struct entry *e)
{
    while (e->count > 0) {
        free(e->record[--e->count]);
    }
    free(e->record);
    e->record = NULL;
    e->room = 0;
}

void spf_check_forget(struct spf_check *c)
{
    for (size_t i = 0; i < c->entries; i++) {
        forget_records(c->entry[i]);
        free(c->entry[i]);
    }
}

static bool make_room(struct entry *e)
{
    if (e->count < e->room) {
        return true;
    }
    size_t room = e->room ? 2 * e->room : 8;
    struct answer_record **more = reallocarray(e->record, room, sizeof(struct answer_record *));
    if (!more) {
        return false;
    }
    e->record = more;
    e->room = room;
    return true;
}

void spf_check_add(struct spf_check *c, size_t i, struct span record)
{
    struct entry *e = c->entry[i];
    /* What is longer is refused whole, or looked at by nobody. */
    size_t len = record.len <= SPF_CHECK_RECORD ? record.len : SPF_CHECK_RECORD + 1;
    size_t size = sizeof(struct answer_record) + len + 1;
    struct answer_record *r = NULL;
    if (c->bytes + size <= SPF_CHECK_BYTES && make_room(e)) {
        r = malloc(size);
    }
    if (!r) {
        e->cut = true;
        return;
    }
    c->bytes += size;
    r->len = len;
    memcpy(r->bytes, record.at, len);
    r->bytes[len] = '\0';
    e->record[e->count++] = r;
}

void spf_check_answer(struct spf_check *c, size_t i, enum spf_dns_state state)
{
    struct entry *e = c->entry[i];
    /* With a part of the addresses alone, one of them might be called a stranger's. */
    state = e->cut ? SPF_DNS_FAILED : state;
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

/* Does libspf2 see this name of an mx or ptr? Of a ptr's the first ten count, and the others are
 * nobody's fault (RFC 7208 section 4.6.4). */
static bool is_name_shown(const struct answer_record *r)
{
    return r->len > 0 && r->len < SPF_CHECK_NAME && !memchr(r->bytes, '\0', r->len);
}

/* Is this the address of the name that is next in the last mx or ptr? libspf2 asks for them in
 * their order; a term of its own may well name one of them again. When the record in which the mx
 * or ptr stood is left, so are its names. */
static bool is_of_source(struct spf_check *c, const char *domain, uint16_t type)
{
    const struct entry *source = c->source.entry;
    if (!source || c->source.domain != c->request->cur_dom ||
        (type != ns_t_a && type != ns_t_aaaa)) {
        return false;
    }
    while (c->source.next < source->count && !is_name_shown(source->record[c->source.next])) {
        c->source.next++;
    }
    if (c->source.next >= source->count ||
        strcmp(source->record[c->source.next]->bytes, domain) != 0) {
        return false;
    }
    c->source.next++;
    return true;
}

/* A term, which RFC 7208 section 4.6.4 counts. */
static bool count_term(struct spf_check *c, const struct entry *e)
{
    if (++c->lookups > SPF_CHECK_LOOKUPS) {
        c->broken = "more than 10 terms that ask the DNS";
    } else if (e && e->state == SPF_DNS_EMPTY && ++c->voids > SPF_CHECK_VOIDS) {
        c->broken = "more than 2 lookups without an answer";
    }
    return !c->broken;
}

/* The first record is free, and so are explanations: they are no terms. `macro`: libspf2 keeps the
 * answer itself, which it does for %{p} and exists. False: it is too much. */
static bool count_lookup(
    struct spf_check *c, const char *domain, uint16_t type, const struct entry *e, bool macro)
{
    bool explaining = c->explaining;
    if (!c->begun) {
        c->begun = true;
        return true;
    }
    if (macro == c->source.macro && is_of_source(c, domain, type)) {
        return true; /* there are not too many of them, see show_all() */
    }
    c->explaining = false;
    c->source.entry = (type == ns_t_mx || type == ns_t_ptr) ? e : NULL;
    c->source.domain = c->request->cur_dom;
    c->source.next = 0;
    c->source.macro = macro;
    return (explaining && macro && type == ns_t_ptr) || count_term(c, e);
}

/* Does libspf2 see this record? */
static bool is_shown(const struct entry *e, const struct answer_record *r, bool explains)
{
    struct span text = {r->bytes, r->len};
    switch (e->type) {
    case ns_t_a:
        return r->len == 4;
    case ns_t_aaaa:
        return r->len == 16;
    case ns_t_txt:
        if (explains) {
            return r->len > 0 && r->len <= EXP_MOST && e->count == 1 && spf_record_explains(text);
        }
        return spf_record_is(text);
    default:
        return is_name_shown(r);
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

static unsigned count_terms(struct span record)
{
    unsigned words = 0;
    for (size_t i = 1; i < record.len; i++) {
        words += record.at[i] != ' ' && record.at[i - 1] == ' ';
    }
    return words;
}

/* The record as libspf2 reads it rightly; one that is malformed ends the check. */
static void write_record(struct spf_check *c, char *out, const struct answer_record *r)
{
    struct text t;
    text_init(&t, out, r->len + 2);
    c->broken =
        spf_record_rewrite((struct span){r->bytes, r->len}, (enum addr_family)c->client.family, &t);
    c->terms = count_terms(text_span(&t));
    if (c->terms == 0) {
        text_addf(&t, " "); /* libspf2 wants it */
    }
}

static bool show(
    struct spf_check *c, SPF_dns_rr_t *rr, const struct answer_record *r, bool explains)
{
    size_t size = sizeof(SPF_dns_rr_data_t) + 2 * r->len + 2;
    if (SPF_dns_rr_buf_realloc(rr, rr->num_rr, size) != SPF_E_SUCCESS) {
        return false;
    }
    SPF_dns_rr_data_t *to = rr->rr[rr->num_rr];
    if (explains) {
        mark_spaces(to->txt, r);
    } else if (rr->rr_type == ns_t_txt) {
        write_record(c, to->txt, r);
    } else {
        memcpy(to, r->bytes, r->len + 1);
    }
    rr->num_rr++;
    return true;
}

static SPF_dns_rr_t *show_all(
    struct spf_check *c, const struct entry *e, SPF_dns_rr_t *rr, bool explains)
{
    for (size_t i = 0; i < e->count && !c->broken; i++) {
        if (e->type == ns_t_ptr && rr->num_rr == SPF_CHECK_NAMES) {
            break;
        }
        if (is_shown(e, e->record[i], explains) && !show(c, rr, e->record[i], explains)) {
            SPF_dns_rr_free(rr);
            return NULL;
        }
    }
    if (e->type == ns_t_mx && rr->num_rr > SPF_CHECK_NAMES) {
        c->broken = "more than 10 names of one mx";
    }
    rr->herrno = c->broken ? TRY_AGAIN : rr->num_rr > 0 ? NETDB_SUCCESS : NO_DATA;
    return rr;
}

/* RFC 7208 section 5.5: a name of a ptr that the DNS does not tell is passed over, and where it
 * tells none, nothing matches. */
static bool is_passed_over(const struct spf_check *c, const struct entry *e)
{
    const struct entry *source = c->source.entry;
    return e->state == SPF_DNS_FAILED &&
           (e->type == ns_t_ptr ||
            (source && source != e && source->type == ns_t_ptr && e->type != ns_t_txt));
}

/* Once one of %{p}'s names has the client's address libspf2 asks for no more of them. */
static void notice_validated(struct spf_check *c, const struct entry *e)
{
    for (size_t i = 0; c->source.macro && e->type != ns_t_ptr && i < e->count; i++) {
        const struct answer_record *r = e->record[i];
        if (r->len == addr_bits(c->client.family) / 8 &&
            memcmp(r->bytes, c->client.bytes, r->len) == 0) {
            c->source.entry = NULL;
        }
    }
}

/* An explanation's text is no term, and what is wrong with it changes nothing. */
static SPF_dns_rr_t *look_up(struct spf_check *c, SPF_dns_rr_t *rr, bool explains, bool macro)
{
    static const int errors[] = {
        [SPF_DNS_WANTED] = TRY_AGAIN,
        [SPF_DNS_FOUND] = NETDB_SUCCESS,
        [SPF_DNS_EMPTY] = HOST_NOT_FOUND,
        [SPF_DNS_FAILED] = TRY_AGAIN,
    };
    uint16_t type = (uint16_t)rr->rr_type;
    struct entry *e = find(c, rr->domain, type);
    c->explaining = c->explaining || explains;
    if ((!explains && !count_lookup(c, rr->domain, type, e, macro)) || !e) {
        return rr;
    }
    c->missing = e->state == SPF_DNS_WANTED;
    c->record_failed = c->record_failed || (c->wants_record && e->state == SPF_DNS_FAILED);
    rr->herrno = is_passed_over(c, e) ? HOST_NOT_FOUND : errors[e->state];
    if (e->state == SPF_DNS_FOUND) {
        rr = show_all(c, e, rr, explains);
        notice_validated(c, e);
    }
    return rr;
}

/* Never NO_RECOVERY: libspf2 reads the answer after it has freed it. */
static SPF_dns_rr_t *on_lookup(SPF_dns_server_t *layer, const char *domain, ns_type type, int cache)
{
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
    return look_up(c, rr, explains, !cache);
}

/* Did libspf2 leave terms out for want of room? */
static bool is_cut(const struct spf_check *c, const SPF_record_t *compiled)
{
    bool full = compiled->mech_len > COMPILED_MOST / 2 || compiled->mod_len > COMPILED_MOST / 2;
    return full && (unsigned)compiled->num_mech + compiled->num_mod < c->terms;
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
    c->missing = c->begun = c->wants_record = c->record_failed = c->explaining = false;
    c->broken = NULL;
    c->lookups = c->voids = 0;
    memset(&c->source, 0, sizeof(c->source));
}
