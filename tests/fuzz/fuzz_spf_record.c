/* SPF records: what is written for libspf2 is a record again, no longer, and is written as itself.
 */
#include "fuzz.h"

#include "core/spf_record.h"

static void write_again(struct span record, enum addr_family family)
{
    char array[SPF_RECORD_MOST + 1], twice[SPF_RECORD_MOST + 1];
    struct text out, again;
    text_init(&out, array, sizeof array);
    text_init(&again, twice, sizeof twice);
    if (spf_record_rewrite(record, family, &out)) {
        return;
    }
    require(!out.cut && out.len <= record.len);
    require(spf_record_is(text_span(&out)));
    for (size_t i = 0; i < out.len; i++) {
        require(out.at[i] >= ' ' && out.at[i] <= '~');
        /* libspf2 reads through a null pointer where there is nothing behind these. */
        bool last = i + 1 == out.len || out.at[i + 1] == ' ';
        require(!last || (out.at[i] != '=' && (out.at[i] != ':' || out.at[i - 1] == ':')));
    }
    require(!spf_record_rewrite(text_span(&out), family, &again));
    require(span_equal(text_span(&out), text_span(&again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* On the heap, to its last byte: what reads behind it is found out. */
    char *copy = malloc(size > 0 ? size : 1);
    require(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    struct span text = {copy, size};
    if (spf_record_is(text)) {
        write_again(text, ADDR_IPV4);
        write_again(text, ADDR_IPV6);
    }
    (void)spf_record_explains(text);
    free(copy);
    return 0;
}
