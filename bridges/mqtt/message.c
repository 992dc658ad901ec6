/* SPDX-License-Identifier: Apache-2.0 */
/* message.c - one message for many sessions: copied once, encoded once for
 * each form that anybody wants. */
#include "fanout.h"

#include <stdlib.h>
#include <string.h>

struct message *message_new(const struct gw_host *host, struct text topic,
                            struct text payload, int qos, bool retained)
{
    struct message *m = malloc(sizeof *m + topic.n + payload.n);
    if (!m)
        return NULL;
    atomic_init(&m->refs, 1);
    for (size_t i = 0; i < MESSAGE_FORMS; i++)
        atomic_init(&m->encoded[i], NULL);
    m->host = host;
    m->qos = (uint8_t)qos;
    m->retained = retained;
    m->filter_id = 0;
    memcpy(m->bytes, topic.p, topic.n);
    if (payload.n > 0)
        memcpy(m->bytes + topic.n, payload.p, payload.n);
    m->topic = (struct text){(const char *)m->bytes, topic.n};
    m->payload = (struct text){(const char *)m->bytes + topic.n, payload.n};
    return m;
}

struct message *message_ref(struct message *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void message_unref(struct message *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < MESSAGE_FORMS; i++) {
        struct gw_frame *f = atomic_load(&m->encoded[i]);
        if (f)
            m->host->frame_unref(f);
    }
    free(m);
}

/* ---- forms ------------------------------------------------------------- */

static struct gw_frame *encode_json(const struct message *m, int qos,
                                    bool retained, enum envelope_form form)
{
    struct envelope_msg e = {.topic = m->topic,
                             .payload = m->payload,
                             .qos = qos,
                             .retained = retained,
                             .form = form};
    uint8_t *payload;
    struct gw_frame *f =
        m->host->frame_new(GW_TEXT, envelope_msg(&e, NULL), &payload);
    if (f)
        envelope_msg(&e, (char *)payload);
    return f;
}

static struct gw_frame *encode_binary(const struct message *m, int qos,
                                      bool retained)
{
    const struct envelope_msg e = {.topic = m->topic,
                                   .payload = m->payload,
                                   .qos = qos,
                                   .retained = retained};
    uint8_t *payload;
    struct gw_frame *f =
        m->host->frame_new(GW_BINARY, envelope_msg_binary(&e, NULL), &payload);
    if (f)
        envelope_msg_binary(&e, payload);
    return f;
}

/* Text where it is text: that is what a page's onmessage likes best. */
static struct gw_frame *encode_raw(const struct message *m)
{
    size_t cut;
    size_t good =
        m->host->utf8((const uint8_t *)m->payload.p, m->payload.n, &cut);
    uint8_t *payload;
    struct gw_frame *f = m->host->frame_new(
        good == m->payload.n ? GW_TEXT : GW_BINARY, m->payload.n, &payload);
    if (f && m->payload.n > 0)
        memcpy(payload, m->payload.p, m->payload.n);
    return f;
}

struct gw_frame *message_frame(struct message *m, enum dialect dialect, int qos,
                               bool retained, int form)
{
    size_t i = dialect == DIALECT_RAW
                   ? MESSAGE_RAW
                   : (size_t)(dialect == DIALECT_BINARY ? 4 : form) * 6 +
                         (size_t)qos * 2 + retained;
    struct gw_frame *f =
        atomic_load_explicit(&m->encoded[i], memory_order_acquire);
    if (f)
        return f;
    if (dialect == DIALECT_RAW)
        f = encode_raw(m);
    else if (dialect == DIALECT_BINARY)
        f = encode_binary(m, qos, retained);
    else
        f = encode_json(m, qos, retained, (enum envelope_form)form);
    struct gw_frame *other = NULL;
    if (f && !atomic_compare_exchange_strong(&m->encoded[i], &other, f)) {
        m->host->frame_unref(f); /* another loop was faster */
        f = other;
    }
    return f;
}
