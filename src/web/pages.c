#include "web/pages.h"

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
#define STATIC    "static"
#define LAYOUT    "layout"
#define SUFFIX    ".html"
#define TEXT      ".txt" /* of mails; the name keeps it, so that no page includes one */

struct page {
    char name[TEMPLATE_NAME];
    struct template *template;
};

struct word {
    char *key, *text; /* both in `key`'s memory */
};

struct language {
    char name[8];
    struct page *pages;
    size_t page_count;
    struct word *words;
    size_t word_count;
};

struct pages {
    struct language language[CONF_LANGUAGES];
    size_t count;
    struct page_file *files;
    size_t file_count;
};

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

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name);

    return len > strlen(suffix) && strcmp(name + len - strlen(suffix), suffix) == 0;
}

static bool add_page(struct reader *r, const char *path, const char *name, struct span source)
{
    bool text = has_suffix(name, TEXT);
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
        more->name, sizeof(more->name), "%.*s", (int)(strlen(name) - (text ? 0 : strlen(SUFFIX))),
        name);
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

static const struct template *find_in(const struct language *l, const char *name)
{
    for (size_t i = 0; i < l->page_count; i++) {
        if (strcmp(l->pages[i].name, name) == 0) {
            return l->pages[i].template;
        }
    }
    return NULL;
}

static const struct template *find(const struct pages *p, size_t language, const char *name)
{
    const struct template *t = find_in(&p->language[language], name);

    return t || language == 0 ? t : find_in(&p->language[0], name);
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
    if (has_suffix(name, SUFFIX) || has_suffix(name, TEXT)) {
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

static bool read_folder(
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
            error,
            "%s:1: cannot be read: %s; allowed: a folder for each language and \"" STATIC "\"",
            path, strerror(errno));
        return false;
    }
    while (good && (entry = readdir(dir))) {
        good = read_entry(&r, entry->d_name);
    }
    closedir(dir);
    return good;
}

/* --- what must be there --- */

struct check {
    const struct pages *pages;
    size_t language;
    const char *folder, *page;
    struct text *error;
    unsigned deep;
    bool good;
};

static void check_include(void *context, const char *name, unsigned line)
{
    struct check *c = context;
    const struct template *t = find(c->pages, c->language, name);

    if (!c->good) {
        return;
    }
    if (!t || c->deep >= TEMPLATE_DEEP) {
        c->good = false;
        text_addf(
            c->error, "%s/%s/%s" SUFFIX ":%u: {{>%s}} %s", c->folder,
            c->pages->language[c->language].name, c->page, line, name,
            t ? "includes itself in the end; allowed: no circles"
              : "is not there; allowed: the name of a template");
        return;
    }
    c->deep++;
    template_includes(t, check_include, c);
    c->deep--;
}

static bool check_language(
    const struct pages *p, size_t language, const char *folder, struct text *error)
{
    const struct language *l = &p->language[language];
    struct check c = {p, language, folder, NULL, error, 0, true};

    for (size_t i = 0; i < l->page_count && c.good; i++) {
        c.page = l->pages[i].name;
        template_includes(l->pages[i].template, check_include, &c);
    }
    return c.good;
}

static bool want(const struct pages *p, const char *name, const char *folder, struct text *error)
{
    if (find_in(&p->language[0], name)) {
        return true;
    }
    text_addf(
        error,
        "%s/%s/%s%s:1: is missing; allowed: all pages in \"%s\", any of them in "
        "other languages",
        folder, p->language[0].name, name, has_suffix(name, TEXT) ? "" : SUFFIX,
        p->language[0].name);
    return false;
}

static bool check(
    const struct pages *p, const char *folder, const char *const *const *wanted, struct text *error)
{
    for (size_t i = 0; i < p->count; i++) {
        if (!check_language(p, i, folder, error)) {
            return false;
        }
    }
    if (!want(p, LAYOUT, folder, error)) {
        return false;
    }
    for (; wanted && *wanted; wanted++) {
        for (const char *const *name = *wanted; *name; name++) {
            if (!want(p, *name, folder, error)) {
                return false;
            }
        }
    }
    return true;
}

/* --- outside --- */

struct pages *pages_new(
    const char *folder, const struct language_list *languages, const char *const *const *wanted,
    struct text *error)
{
    struct pages *p = calloc(1, sizeof(*p));
    bool good = p != NULL;

    if (!p) {
        text_addf(error, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < languages->count && good; i++) {
        struct language *l = &p->language[p->count++];

        memcpy(l->name, languages->at[i], sizeof(l->name));
        good = read_folder(p, l, folder, l->name, error);
    }
    good = good && read_folder(p, NULL, folder, STATIC, error) && check(p, folder, wanted, error);
    if (!good) {
        pages_free(p);
        return NULL;
    }
    return p;
}

void pages_free(struct pages *p)
{
    if (!p) {
        return;
    }
    for (size_t i = 0; i < p->count; i++) {
        struct language *l = &p->language[i];

        for (size_t j = 0; j < l->page_count; j++) {
            template_free(l->pages[j].template);
        }
        for (size_t j = 0; j < l->word_count; j++) {
            free(l->words[j].key);
        }
        free(l->pages);
        free(l->words);
    }
    for (size_t i = 0; i < p->file_count; i++) {
        free(p->files[i].content);
    }
    free(p->files);
    free(p);
}

struct view {
    const struct pages *pages;
    size_t language;
};

static const struct template *find_for_view(void *context, const char *name)
{
    const struct view *v = context;

    return find(v->pages, v->language, name);
}

int pages_render(
    const struct pages *p, size_t language, const char *page, const json_t *values, struct buf *out)
{
    struct view view = {p, language < p->count ? language : 0};
    const struct template_set set = {find_for_view, &view};
    const struct template *t = find(p, view.language, page);
    const struct template *layout = find(p, view.language, LAYOUT);

    return t && layout ? template_render(t, layout, values, &set, out) : -1;
}

int pages_render_text(
    const struct pages *p, size_t language, const char *page, const json_t *values, struct buf *out)
{
    struct view view = {p, language < p->count ? language : 0};
    const struct template_set set = {find_for_view, &view};
    char name[TEMPLATE_NAME];
    const struct template *t;

    snprintf(name, sizeof(name), "%s" TEXT, page);
    t = find(p, view.language, name);
    return t ? template_render(t, NULL, values, &set, out) : -1;
}

const char *pages_word(const struct pages *p, size_t language, const char *key)
{
    const struct language *look[] = {
        &p->language[language < p->count ? language : 0], &p->language[0]};

    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < look[i]->word_count; j++) {
            if (strcmp(look[i]->words[j].key, key) == 0) {
                return look[i]->words[j].text;
            }
        }
    }
    return key;
}

const struct page_file *pages_file(const struct pages *p, struct span name)
{
    for (size_t i = 0; i < p->file_count; i++) {
        if (span_equal(span_of(p->files[i].name), name)) {
            return &p->files[i];
        }
    }
    return NULL;
}
