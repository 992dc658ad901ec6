/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - reading the configuration and the secrets beside it. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fill buf[0..cap). Returns what was there, or -1. */
static ssize_t read_all(int fd, char *buf, size_t cap)
{
    size_t n = 0;

    while (n < cap) {
        ssize_t got = read(fd, buf + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    return (ssize_t)n;
}

static int read_open(struct arena *a, int fd, size_t max, struct slice *out,
                     struct err *err)
{
    struct stat st;

    if (fstat(fd, &st))
        return err_set(err, "%s", strerror(errno));
    if (S_ISDIR(st.st_mode))
        return err_set(err, "%s", strerror(EISDIR));

    char *buf = malloc(max + 1); /* one more tells that there is more */
    if (!buf)
        return err_set(err, "out of memory");
    ssize_t n = read_all(fd, buf, max + 1);
    int failed = n < 0 ? errno : 0;
    char *kept = NULL;
    if (n >= 0 && (size_t)n <= max)
        kept = arena_text(a, (struct slice){buf, (size_t)n});
    free(buf);
    if (failed)
        return err_set(err, "%s", strerror(failed));
    if ((size_t)n > max)
        return err_set(err, "larger than %zu bytes", max);
    if (!kept)
        return err_set(err, "out of memory");
    *out = (struct slice){kept, (size_t)n};
    return 0;
}

int file_read(struct arena *a, const char *path, size_t max, struct slice *out,
              struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return err_set(err, "%s", strerror(errno));
    int result = read_open(a, fd, max, out, err);
    close(fd);
    return result;
}
