/* Reads a folder of the site's texts: templates, words, and files that are sent as they are. */
#include "pages_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/form.h"

#define FILE_MOST (1u << 20)
#define WORDS     "words.txt"

/* What reading one folder needs. */
struct reader {
    struct pages *pages;
    struct language *language; /* NULL: static files */
    const char *folder;
    struct text *error;
};

static bool read_all(int fd, struct buf *out)
{
    ssize_t n;

    do {
        char *room = buf_reserve(out, 65536);

        if (!room) {
            return false;
        }
        n = read(fd, room, 65536);
        buf_grow(out, n > 0 ? (size_t)n : 0);
        if (buf_len(out) > FILE_MOST) {
            errno = EFBIG;
            return false;
        }
    } while (n > 0);
    return n == 0;
}

static bool read_file(const char *path, struct buf *out, struct text *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    bool good = fd >= 0 && read_all(fd, out);

    if (!good) {
        text_addf(error, "%s:1: cannot be read: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

static void *grow(void *list, size_t count, size_t size, struct text *error)
{
    void *more = reallocarray(list, count + 1, size);

    if (!more) {
        text_addf(error, "out of memory");
    }
    return more;
}

/* --- templates --- */

static bool add_page(struct reader *r, const char *path, const char *name, struct span source)
{
    bool text = pages_has_suffix(name, PAGES_TEXT);
    struct language *l = r->language;
    struct page *more = grow(l->pages, l->page_count, sizeof(*more), r->error);
    char array[512];
    struct text why;

    if (!more) {
        return false;
    }
    l->pages = more;
    text_init(&why, array, sizeof(array));
    more += l->page_count;
    snprintf(
        more->name, sizeof(more->name), "%.*s",
        (int)(strlen(name) - (text ? 0 : strlen(PAGES_HTML))), name);
    more->template = !text_is_plain(source, true) ? NULL
                     : text                       ? template_parse_text(source, &why)
                                                  : template_parse(source, &why);
    if (!more->template) {
        text_addf(r->error, "%s:%s", path, why.len > 0 ? array : "1: is no text in UTF-8");
        return false;
    }
    l->page_count++;
    return true;
}

/* --- words --- */

static bool add_word(struct reader *r, const char *path, unsigned line, struct span text)
{
    const char *equals = text.len > 0 ? memchr(text.at, '=', text.len) : NULL;
    struct language *l = r->language;
    struct span key = {text.at, equals ? (size_t)(equals - text.at) : 0}, value;
    struct word *more;

    key = span_trim(key);
    value = span_trim(span_skip(text, equals ? (size_t)(equals - text.at) + 1 : text.len));
    if (key.len == 0 || value.len == 0 || !text_is_plain(text, false)) {
        text_addf(r->error, "%s:%u: is no word; allowed: KEY = TEXT, UTF-8", path, line);
        return false;
    }
    more = grow(l->words, l->word_count, sizeof(*more), r->error);
    if (!more) {
        return false;
    }
    l->words = more;
    more += l->word_count;
    more->key = calloc(1, key.len + value.len + 2);
    if (!more->key) {
        text_addf(r->error, "out of memory");
        return false;
    }
    memcpy(more->key, key.at, key.len);
    more->text = more->key + key.len + 1;
    memcpy(more->text, value.at, value.len);
    l->word_count++;
    return true;
}

static bool add_words(struct reader *r, const char *path, struct span content)
{
    for (unsigned line = 1; content.len > 0; line++) {
        const char *end = memchr(content.at, '\n', content.len);
        struct span text = {content.at, end ? (size_t)(end - content.at) : content.len};

        content = span_skip(content, text.len + 1);
        text = span_trim(text);
        if (text.len > 0 && text.at[0] != '#' && !add_word(r, path, line, text)) {
            return false;
        }
    }
    return true;
}

/* --- files as they are --- */

static const char *type_of(const char *name)
{
    static const char *const types[][2] = {
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
        {".txt", "text/plain; charset=utf-8"},
    };
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(dot, types[i][0]) == 0) {
            return types[i][1];
        }
    }
    return NULL;
}

static bool add_file(struct reader *r, const char *path, const char *name, struct span content)
{
    struct pages *p = r->pages;
    const char *type = type_of(name);
    struct page_file *more;
    struct text kept;

    if (!type) {
        text_addf(
            r->error,
            "%s:1: is of a kind that is not sent; allowed: .css, .js, .svg, .png, .ico, .woff2, "
            ".txt",
            path);
        return false;
    }
    more = grow(p->files, p->file_count, sizeof(*more), r->error);
    if (!more) {
        return false;
    }
    p->files = more;
    more += p->file_count;
    *more = (struct page_file){.type = type, .len = content.len};
    text_init(&kept, more->name, sizeof(more->name));
    text_add(&kept, span_of(name));
    more->content = malloc(content.len + 1);
    if (!more->content) {
        text_addf(r->error, "out of memory");
        return false;
    }
    memcpy(more->content, content.at, content.len);
    more->content[content.len] = '\0';
    token_hash(content, more->etag);
    p->file_count++;
    return true;
}

/* --- folders --- */

static bool add_content(struct reader *r, const char *path, const char *name, struct span content)
{
    if (!r->language) {
        return add_file(r, path, name, content);
    }
    if (strcmp(name, WORDS) == 0) {
        return add_words(r, path, content);
    }
    if (pages_has_suffix(name, PAGES_HTML) || pages_has_suffix(name, PAGES_TEXT)) {
        return add_page(r, path, name, content);
    }
    return true; /* an editor's or a person's own */
}

static bool read_entry(struct reader *r, const char *name)
{
    char path[PATH_MAX];
    struct stat status;
    struct buf content = BUF_INIT;
    struct span text;
    bool good;

    /* Hidden files, and editors' copies, are none of ours. */
    if (name[0] == '.' || name[strlen(name) - 1] == '~' || name[0] == '#') {
        return true;
    }
    if (snprintf(path, sizeof(path), "%s/%s", r->folder, name) >= (int)sizeof(path) ||
        strlen(name) >= TEMPLATE_NAME) {
        text_addf(
            r->error, "%s/%s:1: has too long a name; allowed: %d bytes", r->folder, name,
            TEMPLATE_NAME - 1);
        return false;
    }
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        return true;
    }
    good = read_file(path, &content, r->error);
    text = buf_len(&content) > 0 ? buf_span(&content) : SPAN_LITERAL("");
    good = good && add_content(r, path, name, text);
    buf_clear(&content);
    return good;
}

bool pages_read(
    struct pages *p, struct language *l, const char *folder, const char *name, struct text *error)
{
    char path[PATH_MAX];
    struct reader r = {.pages = p, .language = l, .folder = path, .error = error};
    struct dirent *entry;
    bool good = true;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    dir = opendir(path);
    if (!dir) {
        text_addf(
            error, "%s:1: cannot be read: %s; allowed: a folder for each language and \"static\"",
            path, strerror(errno));
        return false;
    }
    while (good && (entry = readdir(dir))) {
        good = read_entry(&r, entry->d_name);
    }
    closedir(dir);
    return good;
}
