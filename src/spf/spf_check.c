/* A run of libspf2, and its result. */
#include "spf_check_internal.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <spf2/spf_log.h>

#include "spf/spf_sender.h"

#define RECEIVING_HOST "unknown" /* RFC 7208 section 7.3 */
/* Where the domain has none of its own. */
#define EXPLANATION "%{d}%_does%_not%_name%_%{i}%_among%_its%_senders"

/* --- libspf2's complaints ------------------------------------------------------------------------
 */

static jmp_buf out_of_libspf2;

static void __attribute__((noreturn)) on_error(const char *file, int line, const char *message)
{
    (void)file, (void)line, (void)message;
    longjmp(out_of_libspf2, 1);
}

void spf_check_setup(void)
{
    SPF_error_handler = on_error;
    SPF_warning_handler = NULL;
    SPF_info_handler = NULL;
    SPF_debug_handler = NULL;
}

/* --- one run -------------------------------------------------------------------------------------
 */

static void say(struct spf_check *c, struct span words)
{
    struct text t;
    text_init(&t, c->explanation, sizeof(c->explanation));
    text_add(&t, words);
}

static void say_error(struct spf_check *c, SPF_response_t *response)
{
    for (int i = 0; i < SPF_response_messages(response); i++) {
        SPF_error_t *error = SPF_response_message(response, i);
        if (SPF_error_errorp(error)) {
            say(c, span_of(SPF_error_message(error)));
            return;
        }
    }
}

static void take_result(struct spf_check *c, SPF_response_t *response)
{
    static const enum spf_result results[] = {
        [SPF_RESULT_INVALID] = SPF_PERMERROR,   [SPF_RESULT_NEUTRAL] = SPF_NEUTRAL,
        [SPF_RESULT_PASS] = SPF_PASS,           [SPF_RESULT_FAIL] = SPF_FAIL,
        [SPF_RESULT_SOFTFAIL] = SPF_SOFTFAIL,   [SPF_RESULT_NONE] = SPF_NONE,
        [SPF_RESULT_TEMPERROR] = SPF_TEMPERROR, [SPF_RESULT_PERMERROR] = SPF_PERMERROR,
    };
    c->result = results[SPF_response_result(response)];
    if (c->result == SPF_PERMERROR && c->record_failed) {
        c->result = SPF_TEMPERROR;
    }
    if (c->result == SPF_FAIL) {
        const char *words = SPF_response_get_explanation(response);
        say(c, span_of(words ? words : ""));
    } else if (c->result == SPF_PERMERROR || c->result == SPF_TEMPERROR) {
        say_error(c, response);
    }
}

static int set_client(struct spf_check *c, SPF_request_t *request)
{
    struct in_addr four;
    struct in6_addr six;
    if (c->client.family == ADDR_IPV4) {
        memcpy(&four, c->client.bytes, sizeof(four));
        return SPF_request_set_ipv4(request, four);
    }
    memcpy(&six, c->client.bytes, sizeof(six));
    return SPF_request_set_ipv6(request, six);
}

static void ask_libspf2(struct spf_check *c, SPF_server_t *server, SPF_request_t *request)
{
    SPF_response_t *response = NULL;
    c->result = SPF_PERMERROR;
    c->request = request;
    (void)SPF_server_set_explanation(server, EXPLANATION, &response);
    if (response) {
        SPF_response_free(response);
        response = NULL;
    }
    if (SPF_server_set_rec_dom(server, RECEIVING_HOST) != SPF_E_SUCCESS ||
        set_client(c, request) != SPF_E_SUCCESS ||
        SPF_request_set_helo_dom(request, c->helo[0] ? c->helo : RECEIVING_HOST) != 0 ||
        SPF_request_set_env_from(request, c->sender) != 0) {
        return;
    }
    (void)SPF_request_query_mailfrom(request, &response);
    if (response) {
        take_result(c, response);
        SPF_response_free(response);
    }
}

static void evaluate(struct spf_check *c)
{
    SPF_server_t *server = SPF_server_new_dns(&c->layer, 0);
    SPF_request_t *request = server ? SPF_request_new(server) : NULL;
    if (request) {
        ask_libspf2(c, server, request);
        SPF_request_free(request);
    } else {
        c->result = SPF_TEMPERROR;
    }
    if (server) {
        SPF_server_free(server);
    }
}

bool spf_check_run(struct spf_check *c)
{
    if (c->result != SPF_NOT_ASKED) {
        return true;
    }
    spf_check_begin(c);
    c->explanation[0] = '\0';
    if (setjmp(out_of_libspf2) == 0) {
        evaluate(c);
    } else { /* it would have ended the process; what it held is lost */
        c->result = SPF_PERMERROR;
        say(c, SPAN_LITERAL("libspf2 gave up"));
    }
    if (c->broken) {
        c->result = SPF_PERMERROR;
        say(c, span_of(c->broken));
    } else if (c->missing) {
        c->result = SPF_NOT_ASKED;
    }
    return c->result != SPF_NOT_ASKED;
}

/* --- what is asked -------------------------------------------------------------------------------
 */

/* False: there is no domain to ask about. */
static bool take_identity(struct spf_check *c, struct span helo, struct span sender)
{
    struct text name, mailbox;
    text_init(&name, c->helo, sizeof(c->helo));
    text_init(&mailbox, c->sender, sizeof(c->sender));
    bool named = spf_sender_read_helo(helo, &name);
    if (!named) {
        c->helo[0] = '\0';
    }
    if (!spf_sender_read(sender, &mailbox)) {
        return false;
    }
    if (mailbox.len == 0) {
        text_addf(&mailbox, "postmaster@%s", c->helo);
        return named;
    }
    return true;
}

struct spf_check *spf_check_new(const struct addr *client, struct span helo, struct span sender)
{
    struct spf_check *c = calloc(1, sizeof(*c));
    if (!c) {
        return NULL;
    }
    c->client = *client;
    if (addr_is_v4_mapped(client)) { /* RFC 7208 section 5 */
        c->client = (struct addr){.family = ADDR_IPV4};
        memcpy(c->client.bytes, client->bytes + 12, 4);
    }
    if (!take_identity(c, helo, sender)) {
        c->result = SPF_NONE;
    } else {
        spf_check_expect(c, strrchr(c->sender, '@') + 1);
    }
    return c;
}

void spf_check_free(struct spf_check *c)
{
    spf_check_forget(c);
    free(c);
}

enum spf_result spf_check_result(const struct spf_check *c)
{
    return c->result;
}

struct span spf_check_explanation(const struct spf_check *c)
{
    return span_of(c->explanation);
}
