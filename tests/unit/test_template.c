/* web/template: what becomes of tags and values, and which templates are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "web/template.h"

static const struct template *find(void *context, const char *name)
{
    (void)context;
    static struct template *parts[3];
    static const char *const sources[][2] = {
        {"part", "[{{a}}]\n"}, {"outer", "({{>part}})"}, {"self", "x{{>self}}"}};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(name, sources[i][0]) == 0) {
            if (!parts[i]) {
                char array[200];
                struct text error;
                text_init(&error, array, sizeof(array));
                parts[i] = template_parse(span_of(sources[i][1]), &error);
            }
            return parts[i];
        }
    }
    return NULL;
}

static const struct template_set set = {find, NULL};

static struct template *parse(const char *source)
{
    char array[300] = "";
    struct text error;
    text_init(&error, array, sizeof(array));
    struct template *t = template_parse(span_of(source), &error);
    if (!t) {
        fail_msg("%s: %s", source, array);
    }
    return t;
}

static void check(const char *source, const char *json, const char *expected)
{
    struct template *t = parse(source);
    json_t *values = json_loads(json, 0, NULL);
    assert_non_null(values);
    struct buf out = BUF_INIT;
    assert_int_equal(template_render(t, NULL, values, &set, &out), 0);
    assert_int_equal(buf_append(&out, (struct span){"", 1}), 0);
    assert_string_equal(buf_span(&out).at, expected);
    buf_clear(&out);
    json_decref(values);
    template_free(t);
}

static void test_tags(void **state)
{
    (void)state;
    static const struct {
        const char *source, *json, *expected;
    } rows[] = {
        {"plain", "{}", "plain"},
        {"{{a}} {{b.c}} {{none}}.", "{\"a\": 1, \"b\": {\"c\": \"two\"}}", "1 two ."},
        {"{{a}}{{b}}{{c}}{{d}}", "{\"a\": true, \"b\": false, \"c\": null, \"d\": 0.5}", "true0.5"},
        {"{{#a}}yes{{/a}}{{^a}}no{{/a}}", "{\"a\": 1}", "yes"},
        {"{{#a}}yes{{/a}}{{^a}}no{{/a}}", "{\"a\": 0}", "no"},
        {"{{#a}}yes{{/a}}{{^a}}no{{/a}}", "{\"a\": \"\"}", "no"},
        {"{{#a}}yes{{/a}}{{^a}}no{{/a}}", "{\"a\": []}", "no"},
        {"{{#a}}yes{{/a}}{{^a}}no{{/a}}", "{\"a\": {}}", "no"},
        {"{{#a}}yes{{/a}}{{^a}}no{{/a}}", "{}", "no"},
        {"{{#a}}({{.}}){{/a}}", "{\"a\": [1, \"b\"]}", "(1)(b)"},
        /* Inner names first, then outer ones. */
        {"{{#a}}{{x}}{{y}} {{/a}}", "{\"a\": [{\"x\": 1}, {\"x\": 2}], \"x\": 9, \"y\": 8}",
         "18 28 "},
        {"{{#a}}{{x}}{{/a}}", "{\"a\": {\"x\": 1}}", "1"},
        {"{{#a=one}}1{{/a}}{{#a=two}}2{{/a}}{{^a=one}}not{{/a}}", "{\"a\": \"two\"}", "2not"},
        {"{{#p=/x/y}}here{{/p}}", "{\"p\": \"/x/y\"}", "here"},
        {"{{#n=1}}once{{/n}}{{^n=1}}often{{/n}}", "{\"n\": 1}", "once"},
        {"{{#none=}}empty{{/none}}", "{}", "empty"},
        {"{{>outer}}{{>nowhere}}", "{\"a\": \"&\"}", "([&amp;])"},
        {"a{{! what is said here }}b", "{}", "ab"},
        /* A tag alone on its line takes the line with it. */
        {"a\n{{#x}}\nb\n{{/x}}\nc\n", "{\"x\": true}", "a\nb\nc"},
        {"a\n  {{! c }}  \nb", "{}", "a\nb"},
        {"a {{#x}}\nb{{/x}}", "{\"x\": true}", "a \nb"},
        {"a {{=t}}never shown{{/t}}b", "{}", "a b"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check(rows[i].source, rows[i].json, rows[i].expected);
    }
}

static void test_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *source, *value, *expected;
    } rows[] = {
        {"<p>{{v}}</p>", "<script>&'\"", "<p>&lt;script&gt;&amp;&#39;&quot;</p>"},
        {"<p title=\"{{v}}\">", "\" onclick=\"x", "<p title=\"&quot; onclick=&quot;x\">"},
        {"<p title='{{v}}'>", "' x", "<p title='&#39; x'>"},
        {"<textarea>{{v}}</textarea>", "</textarea>", "<textarea>&lt;/textarea&gt;</textarea>"},
        {"<title>{{v}}</title>", "</title><script>", "<title>&lt;/title&gt;&lt;script&gt;</title>"},
        {"<a href=\"{{v}}\">", "/desk?a=1&b=2", "<a href=\"/desk?a=1&amp;b=2\">"},
        {"<a href=\"{{v}}\">", "https://isp.example/", "<a href=\"https://isp.example/\">"},
        {"<a href=\"{{v}}\">", "javascript:alert(1)", "<a href=\"#\">"},
        {"<a href=\"{{v}}\">", " javascript:alert(1)", "<a href=\"#\">"},
        {"<a href=\"{{v}}\">", "JaVaScRiPt:1", "<a href=\"#\">"},
        {"<a href=\"{{v}}\">", "data:text/html,x", "<a href=\"#\">"},
        {"<a href=\"{{v}}\">", "//evil.example/", "<a href=\"#\">"},
        {"<a href=\"{{v}}\">", "/\\\\evil.example/", "<a href=\"#\">"},
        {"<form action=\"{{v}}\">", "javascript:x", "<form action=\"#\">"},
        {"<a href=\" {{v}}\">", "javascript:x", "<a href=\" #\">"},
        {"<a href=\"{{#v}}{{v}}{{/v}}\">", "javascript:x", "<a href=\"#\">"},
        {"<a href=\"{{^v}}/x{{/v}}{{v}}\">", "javascript:x", "<a href=\"#\">"},
        {"<a href=\"/log?id={{v}}\">", "a&b=c/d \"", "<a href=\"/log?id=a%26b%3Dc%2Fd%20%22\">"},
        {"<input value=\"a\" {{#v}}checked{{/v}}>", "1", "<input value=\"a\" checked>"},
        {"<p class=\"a{{#v=1}} b{{/v}}\">", "1", "<p class=\"a b\">"},
        {"<!-- {{! nothing }} --><b>{{v}}</b>", "1", "<!--  --><b>1</b>"},
        {"<script>if (a < b) x()</script>{{v}}", "<", "<script>if (a < b) x()</script>&lt;"},
        {"a < b {{v}}", "<", "a < b &lt;"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *values = json_pack("{s:s}", "v", rows[i].value);
        char *json = json_dumps(values, 0);
        check(rows[i].source, json, rows[i].expected);
        free(json);
        json_decref(values);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *source, *error;
    } rows[] = {
        {"a\nb{{", "2: a tag without its end"},
        {"{{}}", "1: a tag that is none"},
        {"{{a b}}", "1: a tag that is none"},
        {"{{{a}}}", "1: a tag that is none"},
        {"{{a..b}}", "1: a tag that is none"},
        {"\n\n{{#a}}", "3: {{a}} is not closed"},
        {"{{/a}}", "1: {{/a}} closes nothing"},
        {"{{#a}}{{/b}}", "1: {{/b}} does not close {{a}} of line 1"},
        {"<script>{{a}}</script>", "1: {{a}} stands in a script or style sheet"},
        {"<style>p { color: {{a}} }</style>", "1: {{a}} stands in a script or style sheet"},
        {"<!-- {{a}} -->", "1: {{a}} stands in a comment"},
        {"<p {{a}}>", "1: {{a}} stands in a tag"},
        {"<scr{{#a}}ipt {{/a}}>", "1: {{/a}} stands elsewhere"},
        {"<p title={{a}}>", "1: {{a}} stands in a tag"},
        {"<{{a}}>", "1: \"<\" before a tag"},
        {"<p onclick=\"{{a}}\">", "1: {{a}} stands in an attribute that is code"},
        {"<p ONCLICK=\"{{a}}\">", "1: {{a}} stands in an attribute that is code"},
        {"<p style=\"{{a}}\">", "1: {{a}} stands in an attribute that is code"},
        {"<iframe srcdoc=\"{{a}}\">", "1: {{a}} stands in an attribute that is code"},
        {"<a href=\"javascript:{{a}}\">", "1: {{a}} stands behind a scheme"},
        {"<a href=\" Java\nScript : {{a}}\">", "2: {{a}} stands behind a scheme"},
        {"<a href=\"java&#115;cript:{{a}}\">", "1: {{a}} stands behind a scheme"},
        {"<a href=\"data:{{a}}\">", "1: {{a}} stands behind a scheme"},
        {"<a href=\"java{{a}}:{{b}}\">", "1: {{b}} stands behind a scheme"},
        {"<a href=\"{{#a}}/{{/a}}javascript:{{b}}\">", "1: {{b}} stands behind a scheme"},
        {"<a href=\"{{#a}}javascript:{{/a}}{{b}}/{{c}}\">", "1: {{c}} stands behind a scheme"},
        {"<p class=\"{{>part}}\">", "1: {{part}} stands in a tag"},
        {"<p {{#a}}title=\"{{/a}}\">", "1: {{/a}} stands elsewhere"},
        {"<p>{{#a}}<b{{/a}}>", "1: {{/a}} stands elsewhere"},
        {"<p", "1: ends within a tag"},
        {"<script>", "1: ends within a tag"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char array[300] = "";
        struct text error;
        text_init(&error, array, sizeof(array));
        struct template *t = template_parse(span_of(rows[i].source), &error);
        if (t || strncmp(array, rows[i].error, strlen(rows[i].error)) != 0) {
            fail_msg("%s: %s", rows[i].source, t ? "was taken" : array);
        }
    }
}

/* Behind these a value is a part of a path, a query, an address. */
static void test_links(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "<a href=\"/x:{{a}}\">",
        "<a href=\"?a:{{a}}&amp;b={{b}}\">",
        "<a href=\"HTTPS://h/{{a}}\">",
        "<a href=\"mailto:{{a}}\">",
        "<a href=\"{{a}}:{{b}}\">",
        "<a href=\"x{{a}}\">",
        "<p title=\"javascript:{{a}}\">",
        "<a href=\"javascript:\" title=\"{{a}}\">",
        "<a href=\"#{{#a}}x:{{/a}}{{b}}\">"};
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        template_free(parse(sources[i]));
    }
}

static void test_layout(void **state)
{
    (void)state;
    struct template *layout = parse("<title>{{@title}}</title>{{@page}}{{@none}}");
    struct template *page = parse("{{=title}}All of {{a}}{{/title}}\n<h1>{{a}}</h1>");
    json_t *values = json_pack("{s:s}", "a", "<");
    struct buf out = BUF_INIT;
    assert_int_equal(template_render(page, layout, values, &set, &out), 0);
    assert_int_equal(buf_append(&out, (struct span){"", 1}), 0);
    assert_string_equal(buf_span(&out).at, "<title>All of &lt;</title>\n<h1>&lt;</h1>");
    buf_clear(&out);
    json_decref(values);
    template_free(page);
    template_free(layout);
}

static void test_circles_end(void **state)
{
    (void)state;
    struct template *t = parse("{{>self}}");
    json_t *values = json_object();
    struct buf out = BUF_INIT;
    assert_int_equal(template_render(t, NULL, values, &set, &out), -1);
    buf_clear(&out);
    template_free(t);
    t = parse("{{@page}}");
    assert_int_equal(template_render(t, t, values, &set, &out), -1);
    buf_clear(&out);
    template_free(t);
    json_decref(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_layout),
        cmocka_unit_test(test_circles_end), cmocka_unit_test(test_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
