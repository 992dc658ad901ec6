/* SPDX-License-Identifier: Apache-2.0 */
/* parting.h - backends that outlive their session for a moment.
 *
 * A session may end while bytes of its client are still queued to the
 * backend: it sent FIN, but reads on. They are delivered, then FIN, as long
 * as it takes them. */
#ifndef GW_PARTING_H
#define GW_PARTING_H

#include "serve.h"

struct parting;

/* Take c over from a session of generation g: deliver what is queued, close.
 * Without memory it is dropped. */
void parting_start(struct serve *s, struct generation *g, struct conn *c);

/* Drop them all. */
void parting_abort(struct serve *s);

#endif
