/* The file and the socket that a control listens with. */
#ifndef GATE25_CTL_CONTROL_SOCKET_H
#define GATE25_CTL_CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/str.h"

/* Listens on `path` (mode 0660; one left behind by a dead process is replaced). -1: `error`. */
int control_socket_open(const char *path, struct text *error) __attribute__((warn_unused_result));
/* Where `fd` is bound. False: it is no socket with a path. */
bool control_socket_path(int fd, struct sockaddr_un *out);
/* Closes the socket of a process before this one, and removes it: nobody goes on with it. */
void control_socket_remove(int fd);

#endif
