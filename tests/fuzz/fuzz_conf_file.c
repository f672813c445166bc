/* The configuration file's reader: any bytes give a configuration, or a message of one line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "svc/conf_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check(const struct conf *c)
{
    require(c->prefix_count > 0 && c->listen_count > 0);
    require(c->default_class < c->class_count);
    require(strcmp(c->classes[c->default_class].name, CONF_DEFAULT_CLASS) == 0);
    for (size_t i = 0; i < c->class_count; i++) {
        for (unsigned k = 0; k < LIMIT_KINDS; k++) {
            const struct limit *limit = &c->classes[i].limit[k];
            require(limit->windows <= CONF_WINDOWS);
            for (unsigned w = 0; w < limit->windows; w++) {
                require(limit->window[w].count > 0 && limit->window[w].period_us > 0);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char file[64];
    char message[1024];
    struct text error;
    int fd = memfd_create("conf", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(file, sizeof file, "/proc/self/fd/%d", fd);
    text_init(&error, message, sizeof message);
    struct conf *c = conf_file_read(file, &error);
    if (c) {
        check(c);
    } else {
        require(error.len > strlen(file) && !strchr(message, '\n'));
    }
    conf_release(c);
    close(fd);
    return 0;
}
