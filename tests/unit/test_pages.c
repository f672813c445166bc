/* The texts that gate25 ships: what the gate says and they must say, too. Run from the project's
 * folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/verdict.h"
#include "web/template.h"

static struct template *read_template(const char *path)
{
    char array[300] = "", source[20000];
    FILE *file = fopen(path, "r");
    struct text error;

    if (!file) {
        fail_msg("%s is not there", path);
        return NULL;
    }
    size_t len = fread(source, 1, sizeof(source), file);
    assert_int_equal(fclose(file), 0);
    assert_true(len < sizeof(source));
    text_init(&error, array, sizeof(array));
    struct template *t = template_parse((struct span){source, len}, &error);
    if (!t) {
        fail_msg("%s:%s", path, array);
    }
    return t;
}

static const struct template *find_nothing(void *context, const char *name)
{
    (void)context, (void)name;
    return NULL;
}

/* How much the template says of a refusal by that rule, blanks left out. */
static size_t says(const struct template *t, const char *rule)
{
    const struct template_set set = {find_nothing, NULL};
    json_t *values = json_pack("{s:s, s:s}", "rule", rule, "class", "ordinary");
    struct buf out = BUF_INIT;

    assert_int_equal(template_render(t, NULL, values, &set, &out), 0);
    struct span said = buf_len(&out) > 0 ? buf_span(&out) : SPAN_LITERAL("");
    size_t len = 0;
    for (size_t i = 0; i < said.len; i++) {
        len += (unsigned char)said.at[i] > ' ';
    }
    buf_clear(&out);
    json_decref(values);
    return len;
}

static void test_every_rule_has_a_sentence(void **state)
{
    (void)state;
    static const char *const paths[] = {"conf/pages/en/rule.html", "conf/pages/de/rule.html"};

    for (size_t i = 0; i < 2; i++) {
        struct template *t = read_template(paths[i]);
        assert_int_equal(says(t, "no rule at all"), 0);
        for (enum rule r = RULE_NONE + 1; r < RULE_COUNT; r++) {
            /* A limit is told with its amount, as another value. */
            if (r != RULE_LIMIT && says(t, verdict_rule_name(r)) < 20) {
                fail_msg("%s says nothing of the rule %s", paths[i], verdict_rule_name(r));
            }
        }
        template_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_rule_has_a_sentence)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
