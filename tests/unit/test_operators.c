#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "svc/operators.h"
#include "svc/password.h"

#define PYTHON_HASH "IheOFzYxz3xquHUhjWw8TbGvQso9rdZ9nrVy3eJUV+I"

static void test_a_password_fits_its_hash_alone(void **state)
{
    char one[PASSWORD_HASH], two[PASSWORD_HASH];
    struct span right = SPAN_LITERAL("correct horse battery");

    (void)state;
    assert_int_equal(password_hash(right, one), 0);
    assert_int_equal(password_hash(right, two), 0);
    assert_string_not_equal(one, two);
    assert_memory_equal(one, "$scrypt$ln=15,r=8,p=3$", 22);
    assert_true(password_fits(right, span_of(one)));
    assert_true(password_fits(right, span_of(two)));
    assert_false(password_fits(SPAN_LITERAL("correct horse batterz"), span_of(one)));
    assert_false(password_fits(SPAN_LITERAL("correct horse batter"), span_of(one)));
    assert_false(password_fits(SPAN_LITERAL(""), span_of(one)));
}

/* RFC 7914 section 12, its second vector with N = 1024, r = 8, p = 16 has a salt of 4 bytes; ours
 * are of 16, so this one was made with Python's hashlib.scrypt(). */
static void test_a_hash_from_elsewhere(void **state)
{
    static const char made[] = "$scrypt$ln=10,r=8,p=2$MDEyMzQ1Njc4OWFiY2RlZg$" PYTHON_HASH;

    (void)state;
    assert_true(password_fits(SPAN_LITERAL("a password from elsewhere"), span_of(made)));
    assert_false(password_fits(SPAN_LITERAL("a password from elsewher"), span_of(made)));
}

static void test_no_hash_fits_nobody(void **state)
{
    static const char *const bad[] = {
        "",
        "-",
        "x",
        "$scrypt$",
        "$scrypt$ln=10,r=8,p=2$MDEyMzQ1Njc4OWFiY2RlZg$",
        "$scrypt$ln=10,r=8,p=2$MDEyMzQ1Njc4OWFiY2RlZg$AAAA",
        "$scrypt$ln=0,r=8,p=2$MDEyMzQ1Njc4OWFiY2RlZg$" PYTHON_HASH,
        "$scrypt$ln=63,r=8,p=2$MDEyMzQ1Njc4OWFiY2RlZg$" PYTHON_HASH,
        "$scrypt$ln=20,r=16,p=16$MDEyMzQ1Njc4OWFiY2RlZg$" PYTHON_HASH,
        "$scrypt$ln=10,r=8,p=2$MDEyMzQ1Njc4OWFiY2RlZ!$" PYTHON_HASH,
        "$scrypt$ln=10,r=8,p=2$====================$" PYTHON_HASH,
        "$argon2$ln=10,r=8,p=2$MDEyMzQ1Njc4OWFiY2RlZg$" PYTHON_HASH,
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(password_fits(SPAN_LITERAL("a password from elsewhere"), span_of(bad[i])));
    }
}

static void test_what_is_a_good_password(void **state)
{
    char why[200], long_one[PASSWORD_MOST + 1];
    struct text error;

    (void)state;
    text_init(&error, why, sizeof why);
    assert_true(password_is_good(SPAN_LITERAL("twelve bytes"), &error));
    assert_true(password_is_good(SPAN_LITERAL("Größe und Länge"), &error));
    assert_false(password_is_good(SPAN_LITERAL("eleven byte"), &error));
    assert_string_equal(why, "a password has 12 to 256 bytes; this one has 11");
    assert_false(password_is_good(SPAN_LITERAL("twelve\tbytes"), &error));
    assert_false(password_is_good(SPAN_LITERAL(" twelve bytes"), &error));
    assert_false(password_is_good(SPAN_LITERAL("twelve bytes "), &error));
    memset(long_one, 'a', sizeof long_one);
    assert_true(password_is_good((struct span){long_one, PASSWORD_MOST}, &error));
    assert_false(password_is_good((struct span){long_one, PASSWORD_MOST + 1}, &error));
}

static void test_records(void **state)
{
    static const char *const bad[] = {"",           "agent",     "agent 17",  "agent 17 ",
                                      "agent -1 -", "agent x -", "boss 17 -", "none 17 -"};
    struct operator_record r = {OPERATOR_AGENT, 1700000000, SPAN_LITERAL("$scrypt$x")}, back;
    char array[OPERATOR_RECORD];

    (void)state;
    assert_true(operator_parse(operator_format(&r, array), &back));
    assert_string_equal(array, "agent 1700000000 $scrypt$x");
    assert_int_equal(back.role, OPERATOR_AGENT);
    assert_int_equal(back.since_s, 1700000000);
    assert_true(span_equal(back.hash, r.hash));
    r.hash.len = 0;
    assert_true(operator_parse(operator_format(&r, array), &back));
    assert_string_equal(array, "agent 1700000000 -");
    assert_int_equal(back.hash.len, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(operator_parse(span_of(bad[i]), &back));
    }
}

static void test_names(void **state)
{
    char most[OPERATOR_NAME + 1];

    (void)state;
    memset(most, 'a', sizeof most);
    assert_true(operator_name_is_good(SPAN_LITERAL("eve")));
    assert_true(operator_name_is_good(SPAN_LITERAL("Eve.Noc_1-2@isp.example")));
    assert_true(operator_name_is_good((struct span){most, OPERATOR_NAME - 1}));
    assert_false(operator_name_is_good((struct span){most, OPERATOR_NAME}));
    assert_false(operator_name_is_good(SPAN_LITERAL("")));
    assert_false(operator_name_is_good(SPAN_LITERAL("eve noc")));
    assert_false(operator_name_is_good(SPAN_LITERAL("eve\r\n")));
    assert_false(operator_name_is_good(SPAN_LITERAL("eve\0")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_password_fits_its_hash_alone),
        cmocka_unit_test(test_a_hash_from_elsewhere),
        cmocka_unit_test(test_no_hash_fits_nobody),
        cmocka_unit_test(test_what_is_a_good_password),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
