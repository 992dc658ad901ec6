/* SPDX-License-Identifier: Apache-2.0 */
/* http_files.c - find the file, choose its form, judge the conditions, cut
 * the range, in this order.
 *
 * The kernel resolves every name beneath the root (openat2 with
 * RESOLVE_BENEATH), so that nothing depends on how a path is spelled. */
#include "http_files.h"

#include "http_reply.h"
#include "http_select.h"
#include "mime.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    OPEN_TRIES = 8,
    /* A file changed so lately may change again and keep its time. */
    SETTLED_S = 2,
};

struct files_root {
    int fd;
};

/* One form of a file: as it is, or compressed beforehand. */
struct form {
    int fd;
    struct stat st;
    const char *encoding;  /* NULL: as it is */
    struct http_form http; /* made last, when the form is chosen */
};

static const struct encoding {
    const char *name, *suffix;
} encodings[] = {
    {"br", ".br"}, /* the better first */
    {"gzip", ".gz"},
};

/* ---- the answer's fields ---------------------------------------------- */

static bool add(struct files_answer *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Append to a->extra; false, and unchanged, if there is no room. */
static bool add(struct files_answer *a, const char *fmt, ...)
{
    size_t used = strlen(a->extra);
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(a->extra + used, sizeof(a->extra) - used, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof(a->extra) - used)
        return true;
    a->extra[used] = '\0';
    return false;
}

/* Append what a URL may hold as it is, and the rest percent-encoded. */
static bool add_url(struct files_answer *a, struct slice s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~!$&'()*+,;=:@%/?";

    for (size_t i = 0; i < s.n; i++) {
        if (!(memchr(plain, s.p[i], sizeof(plain) - 1)
                  ? add(a, "%c", s.p[i])
                  : add(a, "%%%02X", (unsigned)(unsigned char)s.p[i])))
            return false;
    }
    return true;
}

/* To the same path with a '/' at its end. One '/' begins it, and no '\', so
 * that no browser takes what follows for a host. */
static void redirect(struct files_answer *a, const struct http_head *head)
{
    struct slice path = head->path;
    size_t before = strlen(a->extra);

    while (path.n > 0 && path.p[0] == '/') {
        path.p++;
        path.n--;
    }
    a->status = 301;
    if (!add(a, "Location: /") || !add_url(a, path) || !add(a, "/") ||
        (head->query.n > 0 && (!add(a, "?") || !add_url(a, head->query))) ||
        !add(a, "\r\n")) {
        a->status = 404;
        a->extra[before] = '\0';
    }
}

/* ---- opening ---------------------------------------------------------- */

static int open_beneath(int root, const char *name)
{
    const struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };

    for (int tries = 1;; tries++) {
        long fd = syscall(SYS_openat2, root, name, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        /* EAGAIN: something was renamed meanwhile. */
        if ((errno != EAGAIN && errno != EINTR) || tries == OPEN_TRIES)
            return -1;
    }
}

/* Open `name` and look at it. Returns 0, or the status that says why not. */
static int form_open(struct form *f, int root, const char *name)
{
    f->encoding = NULL;
    f->fd = open_beneath(root, name);
    if (f->fd >= 0 && fstat(f->fd, &f->st) == 0 &&
        (S_ISREG(f->st.st_mode) || S_ISDIR(f->st.st_mode)))
        return 0;

    int error = f->fd >= 0 ? ENOENT : errno;
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    switch (error) {
    case EAGAIN:
    case EINTR:
    case EIO:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return 503;
    default:
        return 404;
    }
}

static void form_close(struct form *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* Whether no name is empty or begins with a dot. */
static bool names_ok(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *p = path; p; p = strchr(p + 1, '/')) {
        if (p[1] == '.' || p[1] == '/')
            return false;
    }
    return true;
}

/* Open what `path` means: a file, or a directory's index. `name`, of PATH_MAX
 * bytes, becomes its name beneath the root. Returns 0 or a status. */
static int path_open(struct form *f, int root, const char *path, char *name)
{
    int n = snprintf(name, PATH_MAX, "%s", path + 1);
    bool slash = path[strlen(path) - 1] == '/';

    if (n < 0 || n >= PATH_MAX)
        return 404;
    int status = form_open(f, root, *name ? name : ".");
    if (status || S_ISREG(f->st.st_mode))
        return status;
    form_close(f);
    if (!slash)
        return 301;
    int more = snprintf(name + n, (size_t)(PATH_MAX - n), "index.html");
    if (more < 0 || more >= PATH_MAX - n)
        return 404;
    status = form_open(f, root, name);
    if (status == 0 && !S_ISREG(f->st.st_mode)) {
        form_close(f);
        return 404;
    }
    return status;
}

/* ---- compressed forms ------------------------------------------------- */

/* Replace *f by a compressed form of it that the client likes at least as
 * well. Returns whether there is any, liked or not. */
static bool form_choose(struct form *f, int root, const char *name,
                        const struct http_head *head)
{
    int best = http_coding_weight(head, "identity", 0);
    bool any = false;

    for (size_t i = 0; i < LEN(encodings); i++) {
        const struct encoding *e = &encodings[i];
        char longer[PATH_MAX + 8];
        struct form other;

        snprintf(longer, sizeof(longer), "%s%s", name, e->suffix);
        if (form_open(&other, root, longer))
            continue;
        if (!S_ISREG(other.st.st_mode)) {
            form_close(&other);
            continue;
        }
        any = true;
        int q = http_coding_weight(head, e->name, 0);
        if (q > 0 && (f->encoding ? q > best : q >= best)) {
            form_close(f);
            *f = other;
            f->encoding = e->name;
            best = q;
        } else {
            form_close(&other);
        }
    }
    return any;
}

/* ---- putting it together ---------------------------------------------- */

static void form_tell(struct form *f, time_t now)
{
    const struct stat *st = &f->st;
    uint64_t ns = (uint64_t)st->st_mtim.tv_sec * 1000000000 +
                  (uint64_t)st->st_mtim.tv_nsec;

    snprintf(f->http.tag, sizeof(f->http.tag), "\"%jx-%jx-%" PRIx64 "%s%s\"",
             (uintmax_t)st->st_ino, (uintmax_t)st->st_size, ns,
             f->encoding ? "-" : "", f->encoding ? f->encoding : "");
    f->http.modified = st->st_mtim.tv_sec;
    f->http.strong = f->http.modified + SETTLED_S <= now;
    f->http.size = (uint64_t)st->st_size;
}

/* Cut the answer to the range that is asked for. */
static void range_cut(struct files_answer *a, const struct form *f,
                      const struct http_head *head)
{
    uint64_t first, length, size = f->http.size;

    switch (http_range(&f->http, head, &first, &length)) {
    case HTTP_RANGE_WHOLE:
        return;
    case HTTP_RANGE_OUTSIDE:
        a->status = 416;
        add(a, "Content-Range: bytes */%" PRIu64 "\r\n", size);
        return;
    case HTTP_RANGE_PART:
        a->status = 206;
        a->length = length;
        add(a, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
            first, first + length - 1, size);
        if (lseek(f->fd, (off_t)first, SEEK_SET) < 0)
            a->status = 503;
    }
}

static void describe(struct files_answer *a, const struct form *f, bool vary,
                     time_t now)
{
    add(a, "ETag: %s%s\r\n", f->http.strong ? "" : "W/", f->http.tag);
    if (f->http.modified <= now) { /* never a date to come */
        char date[HTTP_DATE_SIZE];
        http_date(date, f->http.modified);
        add(a, "Last-Modified: %s\r\n", date);
    }
    add(a, "Cache-Control: no-cache\r\n%s",
        vary ? "Vary: Accept-Encoding\r\n" : "");
}

/* Answer with *f, which is taken: its descriptor is closed or handed on. */
static void serve(struct files_answer *a, struct form *f, const char *name,
                  bool vary, const struct http_head *head)
{
    time_t now = time(NULL);

    form_tell(f, now);
    a->status = http_conditions(&f->http, head);
    if (a->status != 412)
        describe(a, f, vary, now);
    if (a->status == 0) {
        a->status = 200;
        a->length = f->http.size;
        range_cut(a, f, head);
    }
    if (a->status != 200 && a->status != 206) {
        form_close(f);
        a->length = 0;
        return;
    }
    a->type = mime_type(name);
    add(a, "Accept-Ranges: bytes\r\n");
    if (f->encoding)
        add(a, "Content-Encoding: %s\r\n", f->encoding);
    if (slice_is(head->method, "HEAD"))
        form_close(f);
    a->fd = f->fd;
}

void files_lookup(const struct files_root *r, const char *path,
                  const struct http_head *head, struct files_answer *a)
{
    char name[PATH_MAX];
    struct form f = {.fd = -1};

    *a = (struct files_answer){.status = 404, .fd = -1};
    add(a, "X-Content-Type-Options: nosniff\r\n");
    if (!slice_is(head->method, "GET") && !slice_is(head->method, "HEAD")) {
        a->status = 405;
        add(a, "Allow: GET, HEAD\r\n");
        return;
    }
    if (!names_ok(path))
        return;
    a->status = path_open(&f, r->fd, path, name);
    if (a->status == 301)
        redirect(a, head);
    if (a->status)
        return;
    bool vary = form_choose(&f, r->fd, name, head);
    serve(a, &f, name, vary, head);
}

struct files_root *files_root_open(const char *dir, struct err *err)
{
    struct files_root *r = malloc(sizeof(*r));

    if (!r) {
        err_set(err, "out of memory");
        return NULL;
    }
    r->fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (r->fd < 0) {
        err_set(err, "%s: %s", dir, strerror(errno));
        goto fail;
    }
    int fd = open_beneath(r->fd, ".");
    if (fd < 0) {
        err_set(err,
                errno == ENOSYS ? "%s: files need openat2 (Linux 5.6 or "
                                  "later): %s"
                                : "%s: %s",
                dir, strerror(errno));
        close(r->fd);
        goto fail;
    }
    close(fd);
    return r;
fail:
    free(r);
    return NULL;
}

void files_root_close(struct files_root *r)
{
    if (!r)
        return;
    close(r->fd);
    free(r);
}
