/* SPDX-License-Identifier: Apache-2.0 */
/* deliver.c - a message to a session: at once if it takes it, else by the
 * route's policy for slow ones. What is dropped is told as "lost". */
#include "client.h"

#include <stdlib.h>
#include <utlist.h>

static size_t waiting_size(const struct waiting *w)
{
    return sizeof *w + w->message->topic.n + w->message->payload.n;
}

static void count(const struct client *c, enum topic_counter counter)
{
    c->route->host->count(c->session, counter, 1);
}

static void send(struct client *c, struct message *m, int qos, bool retained)
{
    struct gw_frame *f =
        message_frame(m, c->dialect, qos, retained, c->route->form);
    if (!f)
        return;
    count(c, COUNTER_DELIVERED);
    c->shard->delivered++;
    if (c->shard->several)
        c->route->host->gather(c->session);
    if (c->route->host->send_frame(c->session, f) == GW_FULL)
        c->full = true;
}

static void waiting_free(struct client *c, struct waiting *w)
{
    c->n_waiting--;
    c->waiting_bytes -= waiting_size(w);
    DL_DELETE(c->waiting, w);
    message_unref(w->message);
    free(w);
}

static void lose(struct client *c, struct subscription *sub)
{
    count(c, COUNTER_DROPPED);
    if (sub)
        sub->dropped++;
}

static void drop(struct client *c, struct waiting *w)
{
    lose(c, w->sub);
    waiting_free(c, w);
}

/* The newest message of a topic takes the place of an older one. */
static bool conflate(struct client *c, struct subscription *sub,
                     struct message *m, bool retained)
{
    struct waiting *w;
    DL_FOREACH(c->waiting, w)
    {
        if (w->message->topic.n != m->topic.n ||
            memcmp(w->message->topic.p, m->topic.p, m->topic.n) != 0)
            continue;
        lose(c, w->sub);
        c->waiting_bytes -= waiting_size(w);
        message_unref(w->message);
        w->message = message_ref(m);
        w->sub = sub;
        w->retained = retained;
        c->waiting_bytes += waiting_size(w);
        return true;
    }
    return false;
}

static void wait_for_room(struct client *c, struct subscription *sub,
                          struct message *m, int qos, bool retained)
{
    const struct topics_route *r = c->route;

    if (r->slow == SLOW_DISCONNECT) {
        c->closing = true;
        r->host->close(c->session, GW_TRY_LATER, CLOSE_SLOW, "too slow");
        return;
    }
    if (r->slow == SLOW_CONFLATE && conflate(c, sub, m, retained))
        return;
    struct waiting *w = malloc(sizeof *w);
    if (!w) {
        lose(c, sub);
        return;
    }
    *w = (struct waiting){.message = message_ref(m),
                          .sub = sub,
                          .qos = qos,
                          .retained = retained};
    DL_APPEND(c->waiting, w);
    c->n_waiting++;
    c->waiting_bytes += waiting_size(w);
    while (c->waiting &&
           (c->n_waiting > r->queue_max || c->waiting_bytes > r->queue_bytes))
        drop(c, r->slow == SLOW_DROP_NEWEST ? w : c->waiting);
}

void deliver(struct client *c, struct subscription *sub, struct message *m,
             bool retained)
{
    int qos = m->qos < sub->qos ? m->qos : sub->qos;

    if (c->closing)
        return;
    if (c->full || c->waiting)
        wait_for_room(c, sub, m, qos, retained);
    else
        send(c, m, qos, retained);
}

static void tell_lost_of(struct client *c, struct subscription *sub)
{
    const struct text filter = {sub->filter->text, sub->filter->n};
    size_t cap = ENVELOPE_ANSWER_MAX + 6 * filter.n; /* escaped */
    char *out = c->dialect == DIALECT_RAW ? NULL : malloc(cap);
    size_t n = out ? envelope_lost(out, cap, filter, sub->dropped) : 0;

    sub->dropped = 0;
    if (n > 0 && c->route->host->send(c->session, GW_TEXT, (uint8_t *)out, n,
                                      false) == GW_FULL)
        c->full = true;
    free(out);
}

static void tell_lost(struct client *c)
{
    struct subscription *sub;
    DL_FOREACH2(c->subs, sub, next_of_client)
    if (sub->dropped > 0 && !c->full)
        tell_lost_of(c, sub);
}

void deliver_drained(struct client *c)
{
    c->full = false;
    while (c->waiting && !c->full) {
        struct waiting *w = c->waiting;
        send(c, w->message, w->qos, w->retained);
        waiting_free(c, w);
    }
    if (!c->full)
        tell_lost(c);
}

void deliver_forget(struct client *c, const struct subscription *sub)
{
    struct waiting *w, *next;
    DL_FOREACH_SAFE(c->waiting, w, next)
    if (w->sub == sub)
        w->sub = NULL;
}

void deliver_drop_all(struct client *c)
{
    while (c->waiting)
        waiting_free(c, c->waiting);
}
