/* The form of a registration, and the mail that is made of it: what is accepted is plain, and no
 * field ends a header's line. */
#include <stdlib.h>
#include <string.h>

#include "core/mail_message.h"
#include "core/signup_form.h"

#define HEADERS 10 /* of a mail with everything */

static struct span take(struct span *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->at, 0xff, rest->len) : NULL;
    struct span s = {rest->at, end ? (size_t)(end - rest->at) : rest->len};

    *rest = span_skip(*rest, s.len + 1);
    return s;
}

static void require(bool good)
{
    if (!good) {
        abort();
    }
}

static void require_plain(const char *text, bool ascii)
{
    for (; *text; text++) {
        require((unsigned char)*text >= ' ' && *text != 0x7f);
        require(!ascii || (unsigned char)*text < 0x80);
    }
}

/* Lines of the header, folded ones counted with the first; each is short, and ends in CR LF. */
static void require_header(const char *mail, size_t len)
{
    const char *end = memmem(mail, len, "\r\n\r\n", 4);
    size_t headers = 0;

    require(end != NULL);
    for (const char *line = mail; line < end + 2;) {
        const char *stop = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        require(stop && stop > line && stop - line <= 998);
        require(
            !memchr(line, '\r', (size_t)(stop - line)) &&
            !memchr(line, '\n', (size_t)(stop - line)));
        headers += line[0] != ' ' && line[0] != '\t';
        line = stop + 2;
    }
    require(headers == HEADERS || headers == HEADERS - 1);
}

/* The body has only CR LF, no line of a dot, and nothing but ASCII. */
static void require_body(const char *mail, size_t len)
{
    const char *body = (const char *)memmem(mail, len, "\r\n\r\n", 4) + 4;

    require(!memmem(body, len - (size_t)(body - mail), "\r\n.", 3));
    for (const char *p = body; p < mail + len; p++) {
        require((unsigned char)*p < 0x80);
        require(*p != '\n' || p[-1] == '\r');
        require(*p != '\r' || p[1] == '\n');
    }
}

static void write_mail(struct span to, struct span name, struct span subject, struct span body)
{
    static char array[MAIL_MESSAGE];
    struct mail_message m = {
        .from = SPAN_LITERAL("port25@isp.example"),
        .from_name = name,
        .to = to,
        .subject = subject,
        .id = SPAN_LITERAL("abc@isp.example"),
        .date_s = 1795887775,
        .language = name.len < 3 ? name : SPAN_LITERAL("en"),
        .body = body};
    struct text t;

    text_init(&t, array, sizeof(array));
    if (mail_message_write(&m, &t)) {
        require_header(array, t.len);
        require_body(array, t.len);
    } else {
        require(!mail_address_is_plain(to));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = {(const char *)data, size};
    struct signup_form form;
    struct signup_request request;
    enum signup_fault faults[SIGNUP_FIELDS];
    char key[SIGNUP_CONTACT];

    form.contact = take(&rest);
    form.domain = take(&rest);
    form.host = take(&rest);
    form.reason = take(&rest);
    bool good = signup_form_check(&form, &request, faults);
    signup_contact_key(form.contact, key);
    write_mail(form.contact, form.domain, form.host, form.reason);
    if (good) {
        require_plain(request.contact, true);
        require_plain(request.domain, true);
        require_plain(request.host, true);
        require_plain(request.reason, false);
        require(mail_address_is_plain(span_of(request.contact)));
        /* Checked again, it is what it is. */
        struct signup_request again;
        struct signup_form plain = {
            span_of(request.contact), span_of(request.domain), span_of(request.host),
            span_of(request.reason)};
        require(signup_form_check(&plain, &again, faults));
        require(
            strcmp(again.contact, request.contact) == 0 &&
            strcmp(again.reason, request.reason) == 0);
    } else {
        require(faults[0] || faults[1] || faults[2] || faults[3]);
    }
    return 0;
}
