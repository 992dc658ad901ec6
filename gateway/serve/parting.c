/* SPDX-License-Identifier: Apache-2.0 */
/* parting.c - the last bytes to a backend whose session has ended. */
#include "parting.h"

#include <stdlib.h>
#include <utlist.h>

struct parting {
    struct serve *serve;
    struct generation *generation; /* a reference: the conn uses its marks */
    struct conn *conn;
    struct parting *prev, *next; /* serve->parting */
    struct deadline deadline;
    struct loop_later later;
};

static void parting_free(struct loop_later *later)
{
    struct parting *l = container_of(later, struct parting, later);
    struct serve *s = l->serve;

    DL_DELETE(s->parting, l);
    generation_unref(l->generation);
    free(l);
    serve_crowd_left(s);
}

static void parting_end(struct parting *l)
{
    if (l->conn->closed)
        return;
    deadline_stop(l->serve->loop, &l->deadline);
    conn_close(l->conn, false);
    l->later.fn = parting_free;
    loop_defer(l->serve->loop, &l->later);
}

static void parting_look(struct deadline *d)
{
    struct parting *l = container_of(d, struct parting, deadline);
    const struct timeout_settings *t = &l->generation->settings->timeouts;

    if (conn_queued(l->conn) > 0 && !conn_stalled(l->conn, t->write_stall))
        deadline_by(l->serve->loop, d, conn_stalls_at(l->conn, t->write_stall));
    else
        parting_end(l);
}

static void on_data(struct conn *c, uint8_t *p, size_t n)
{
    (void)c, (void)p, (void)n; /* there is nobody to give it to */
}

static void on_eof(struct conn *c)
{
    if (c->finished)
        parting_end(c->owner);
}

static void on_drained(struct conn *c)
{
    (void)c;
}

/* All is delivered; the backend's FIN, or a moment, and it is over. */
static void on_finished(struct conn *c)
{
    struct parting *l = c->owner;
    if (c->told_eof) {
        parting_end(l);
        return;
    }
    deadline_stop(l->serve->loop, &l->deadline);
    deadline_by(
        l->serve->loop, &l->deadline,
        deadline_in(l->serve->loop, l->generation->settings->timeouts.linger));
}

static void on_error(struct conn *c, int error)
{
    (void)error;
    parting_end(c->owner);
}

static const struct conn_ops parting_ops = {
    .on_data = on_data,
    .on_eof = on_eof,
    .on_drained = on_drained,
    .on_finished = on_finished,
    .on_error = on_error,
};

void parting_start(struct serve *s, struct generation *g, struct conn *c)
{
    struct parting *l = calloc(1, sizeof *l);
    if (!l) {
        conn_close(c, false);
        return;
    }
    l->serve = s;
    l->generation = generation_ref(g);
    l->conn = c;
    deadline_init(&l->deadline, parting_look);
    DL_APPEND(s->parting, l);
    serve_crowd_joined(s); /* or a flood of them would leave no descriptors */
    conn_adopt(c, &parting_ops, l);
    conn_finish(c);
    conn_resume(c);
    deadline_by(
        s->loop, &l->deadline,
        deadline_first(conn_stalls_at(c, g->settings->timeouts.write_stall),
                       deadline_in(s->loop, g->settings->timeouts.linger)));
}

void parting_abort(struct serve *s)
{
    struct parting *l;
    DL_FOREACH(s->parting, l)
    parting_end(l);
}
