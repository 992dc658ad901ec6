/* SPDX-License-Identifier: Apache-2.0 */
/* session_parts.h - what the files of session.h share among themselves. */
#ifndef GW_SESSION_PARTS_H
#define GW_SESSION_PARTS_H

#include "session.h"

static inline const struct limit_settings *session_limits(
    const struct gw_session *s)
{
    return &s->generation->settings->limits;
}

static inline const struct timeout_settings *session_timeouts(
    const struct gw_session *s)
{
    return &s->generation->settings->timeouts;
}

/* ---- session.c ---- */

/* Why it ends; the first reason is the one. code 0: the reason's own. */
void session_set_end(struct gw_session *s, enum end why, uint16_t code);

/* Do at the end of the turn what is due: early bytes, closing the bridge,
 * freeing the session. */
void session_later(struct gw_session *s);

/* The bridge is closed at the end of the turn. */
void session_bridge_over(struct gw_session *s);

/* The gateway ends the session: what the bridge has sent goes first, then a
 * Close frame; its echo is waited for. */
void session_end(struct gw_session *s, enum end why, uint16_t code,
                 const char *reason);
void session_send_close(struct gw_session *s, uint16_t code,
                        const char *reason);

/* FIN after the Close frame; and the end when both FINs have passed. */
void session_client_finish(struct gw_session *s);
void session_try_close(struct gw_session *s);

/* The client sends no more that matters; the bridge may finish its work. */
void session_client_ended(struct gw_session *s, uint16_t code);

/* Its connection is gone, or is to be dropped; or has nothing to do. */
void session_client_lost(struct gw_session *s, enum end why, bool reset);
void session_client_close(struct gw_session *s, bool reset);

/* Read on, unless the bridge has paused it or early bytes come first. */
void session_read_on(struct gw_session *s);

/* The phase that has begun may take so long. */
void session_end_within(struct gw_session *s, unsigned ms);

/* ---- session_input.c ---- */

extern const struct conn_ops session_conn_ops; /* of the client's conn */
void session_early_deliver(struct gw_session *s);

/* ---- session_wait.c ---- */

void session_look(struct deadline *d);
void session_look_open(struct gw_session *s); /* the first, after the 101 */

#endif
