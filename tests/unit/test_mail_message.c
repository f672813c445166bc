/* Mails as they go to the smarthost: nothing that a field holds ends its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/mail_message.h"

static char written[MAIL_MESSAGE];

static bool write_message(const struct mail_message *m)
{
    struct text t;
    text_init(&t, written, sizeof(written));
    return mail_message_write(m, &t);
}

static const struct mail_message plain = {
    .from = SPAN_LITERAL("port25@isp.example"),
    .from_name = SPAN_LITERAL("Example ISP"),
    .to = SPAN_LITERAL("owner@customer.example"),
    .subject = SPAN_LITERAL("Confirm your mail server"),
    .id = SPAN_LITERAL("abc.123@isp.example"),
    .date_s = 1795887775,
    .language = SPAN_LITERAL("en"),
    .body = SPAN_LITERAL("Hello,\n\nhttps://port25.isp.example/confirm?token=abc\n.\r\nGood \n"),
};

static void test_plain(void **state)
{
    (void)state;
    assert_true(write_message(&plain));
    assert_string_equal(
        written, "Date: Sat, 28 Nov 2026 17:42:55 +0000\r\n"
                 "From: Example ISP\r\n"
                 " <port25@isp.example>\r\n"
                 "To: <owner@customer.example>\r\n"
                 "Subject: Confirm your mail server\r\n"
                 "Message-ID: <abc.123@isp.example>\r\n"
                 "Auto-Submitted: auto-generated\r\n"
                 "MIME-Version: 1.0\r\n"
                 "Content-Language: en\r\n"
                 "Content-Type: text/plain; charset=utf-8\r\n"
                 "Content-Transfer-Encoding: quoted-printable\r\n"
                 "\r\n"
                 "Hello,\r\n"
                 "\r\n"
                 "https://port25.isp.example/confirm?token=3Dabc\r\n"
                 "=2E\r\n"
                 "Good=20\r\n");
}

static const struct {
    const char *subject, *told;
} subjects[] = {
    {"a\r\nBcc: x@y.example", "Subject: a Bcc: x@y.example\r\n"},
    {"a\nb\rc\x01"
     "d",
     "Subject: a b c d\r\n"},
    {"", "Subject: \r\n"},
    {"  \t ", "Subject: \r\n"},
    {"two  blanks", "Subject: two blanks\r\n"},
    {"Best\xc3\xa4tigung", "Subject: =?UTF-8?B?QmVzdMOkdGlndW5n?=\r\n"},
    {"\xc3\xa4\r\nX: y", "Subject: =?UTF-8?B?w6QgIFg6IHk=?=\r\n"},
    {"bad \xff\xc3", "Subject: bad ??\r\n"},
    /* What looks like an encoded word is told as text. */
    {"=?UTF-8?B?QQ==?=", "Subject: =?UTF-8?B?PT9VVEYtOD9CP1FRPT0/PQ==?=\r\n"},
};

static void test_subjects(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(subjects) / sizeof(*subjects); i++) {
        struct mail_message m = plain;
        m.subject = span_of(subjects[i].subject);
        assert_true(write_message(&m));
        if (!strstr(written, subjects[i].told)) {
            fail_msg("expected %s in:\n%s", subjects[i].told, written);
        }
    }
}

static void test_bad_addresses(void **state)
{
    static const char *const bad[] = {"",      "a",       "@b",     "a@",   "a@b\r\nBcc: c@d",
                                      "a@b\n", "a b@c",   "a@b>",   "<a@b", "a@b@c",
                                      "a@b,c", "a@b\x80", "\"a\"@b"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct mail_message m = plain;
        m.to = span_of(bad[i]);
        assert_false(write_message(&m));
        m = plain;
        m.from = span_of(bad[i]);
        assert_false(write_message(&m));
        m = plain;
        m.id = span_of(bad[i]);
        assert_false(write_message(&m));
        m = plain;
        m.language = span_of(bad[i]);
        assert_int_equal(write_message(&m) && strstr(written, "Content-Language"), i == 1);
    }
    struct mail_message m = plain;
    m.to = (struct span){"a@b\0c", 5};
    assert_false(write_message(&m));
}

static void test_names(void **state)
{
    struct mail_message m = plain;

    (void)state;
    m.from_name = SPAN_LITERAL("");
    assert_true(write_message(&m));
    assert_non_null(strstr(written, "\r\nFrom: <port25@isp.example>\r\n"));
    m.from_name = SPAN_LITERAL("A <b@c.example>, d");
    assert_true(write_message(&m));
    assert_non_null(strstr(written, "\r\nFrom: =?UTF-8?B?QSA8YkBjLmV4YW1wbGU+LCBk?=\r\n <port25@"));
}

/* Every line but those of the header that were given is at most 76 characters; 998 for all. */
static void test_line_lengths(void **state)
{
    char subject[3000], body[MAIL_MESSAGE_BODY + 100];
    struct mail_message m = plain;

    (void)state;
    for (size_t i = 0; i + 1 < sizeof(subject); i += 2) {
        memcpy(subject + i, "\xc3\xa4", 2);
    }
    memset(body, '=', sizeof(body));
    m.subject = (struct span){subject, sizeof(subject)};
    m.body = (struct span){body, sizeof(body)};
    assert_true(write_message(&m));
    for (const char *line = written; *line; line = strchr(line, '\n') + 1) {
        assert_true(strcspn(line, "\r") <= 76);
    }
    for (size_t i = 0; i + 1 < sizeof(subject); i += 2) {
        memcpy(subject + i, "x ", 2);
    }
    assert_true(write_message(&m));
    for (const char *line = written; *line; line = strchr(line, '\n') + 1) {
        assert_true(strcspn(line, "\r") <= 76);
    }
}

static void test_dates(void **state)
{
    static const struct {
        int64_t s;
        const char *text;
    } dates[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 +0000"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 +0000"},
        {1709251199, "Thu, 29 Feb 2024 23:59:59 +0000"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 +0000"},
        {-5, "Thu, 01 Jan 1970 00:00:00 +0000"},
        {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 +0000"},
    };
    char date[MAIL_DATE];

    (void)state;
    for (size_t i = 0; i < sizeof(dates) / sizeof(*dates); i++) {
        mail_date(dates[i].s, date);
        assert_string_equal(date, dates[i].text);
    }
}

static void test_too_small(void **state)
{
    char little[100];
    struct text t;

    (void)state;
    text_init(&t, little, sizeof(little));
    assert_false(mail_message_write(&plain, &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),         cmocka_unit_test(test_subjects),
        cmocka_unit_test(test_bad_addresses), cmocka_unit_test(test_names),
        cmocka_unit_test(test_line_lengths),  cmocka_unit_test(test_dates),
        cmocka_unit_test(test_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
