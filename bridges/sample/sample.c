/* SPDX-License-Identifier: Apache-2.0 */
/* sample.c - a bridge in a shared object: tells the time.
 *
 *     gangway --plugin build/sample.so 8080 'clock:?every=5s&format=unix'
 *
 * It has no backend, so that options, counters, timers, flow control and the
 * ends of a session are all there is to see. A text message is answered with
 * the time and the message itself, which is a way to measure a path. */
#include "../bridge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { EVERY_MIN_MS = 10, TIME_TEXT = 32 };

struct clock_route {
    const struct gw_host *host;
    uint32_t every_ms;
    bool unix_time;
};

struct clock {
    const struct clock_route *route;
    struct gw_session *session;
    bool full; /* the client does not read: no more ticks for now */
};

enum { OPT_EVERY, OPT_FORMAT };

static const struct gw_option options[] = {
    [OPT_EVERY] = {"every", GW_OPT_DURATION, NULL, "1s",
                   "how long to wait between two messages"},
    [OPT_FORMAT] = {"format", GW_OPT_ENUM, "utc|unix", "utc",
                    "2026-01-31T12:00:00.123Z, or seconds since 1970"},
    {0},
};

enum { COUNT_TICKS, COUNT_SKIPPED };

static const struct gw_counter counters[] = {
    [COUNT_TICKS] = {"ticks", "Times told by the clock.", false},
    [COUNT_SKIPPED] = {"skipped", "Times not told, as the client did not read.",
                       false},
    {0},
};

/* ---- telling the time -------------------------------------------------- */

static size_t time_text(bool unix_time, char out[TIME_TEXT])
{
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    int ms = (int)(now.tv_nsec / 1000000);
    if (unix_time)
        return (size_t)snprintf(out, TIME_TEXT, "%" PRId64 ".%03d",
                                (int64_t)now.tv_sec, ms);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(out, TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &utc);
    return n + (size_t)snprintf(out + n, TIME_TEXT - n, ".%03dZ", ms);
}

/* Every send may say that the client's queue is full. */
static void note(struct clock *c, enum gw_sent sent)
{
    if (sent == GW_FULL)
        c->full = true;
}

static void tick_later(struct clock *c);

static void tick(void *arg)
{
    struct clock *c = arg;
    const struct gw_host *host = c->route->host;
    char text[TIME_TEXT];

    if (c->full) {
        host->count(c->session, COUNT_SKIPPED, 1);
    } else {
        size_t n = time_text(c->route->unix_time, text);
        note(c, host->send(c->session, GW_TEXT, (uint8_t *)text, n, false));
        host->count(c->session, COUNT_TICKS, 1);
    }
    tick_later(c);
}

/* A timer fires once. It goes with the session: nothing to cancel. */
static void tick_later(struct clock *c)
{
    const struct gw_host *host = c->route->host;
    if (!host->timer(c->session, c->route->every_ms, tick, c))
        host->close(c->session, GW_FAILED, 0, "out of memory");
}

/* ---- a session --------------------------------------------------------- */

static void *clock_open(struct gw_session *session, void *route,
                        const struct gw_request *r, enum gw_take *take)
{
    struct clock *c = malloc(sizeof *c);
    (void)r;
    if (!c)
        return NULL;
    *c = (struct clock){.route = route, .session = session};
    *take = GW_MESSAGES;
    c->route->host->accept(session);
    tick_later(c);
    return c;
}

/* The time, a space and the client's message, as one message in two parts. */
static void clock_data(void *state, const struct gw_data *d)
{
    struct clock *c = state;
    const struct gw_host *host = c->route->host;
    char text[TIME_TEXT];

    if (d->type != GW_TEXT) {
        host->close(c->session, GW_UNSUPPORTED, 0, "a clock takes text");
        return;
    }
    size_t n = time_text(c->route->unix_time, text);
    text[n++] = ' ';
    note(c, host->send(c->session, GW_TEXT, (uint8_t *)text, n, true));
    note(c, host->send(c->session, GW_TEXT, d->p, d->n, false));
    if (c->full)
        host->pause(c->session);
}

static void clock_drained(void *state)
{
    struct clock *c = state;
    c->full = false;
    c->route->host->resume(c->session);
}

/* ---- a route ----------------------------------------------------------- */

static int clock_route_open(const struct gw_host *host,
                            const struct gw_target *t, void **route, char *err,
                            size_t cap)
{
    uint64_t every = t->values[OPT_EVERY].number;

    if (t->address[0] != '\0') {
        snprintf(err, cap, "'clock:' takes no address");
        return -1;
    }
    if (every < EVERY_MIN_MS) {
        snprintf(err, cap, "every: at least %dms", EVERY_MIN_MS);
        return -1;
    }
    struct clock_route *r = malloc(sizeof *r);
    if (!r) {
        snprintf(err, cap, "out of memory");
        return -1;
    }
    *r = (struct clock_route){
        .host = host,
        .every_ms = (uint32_t)every,
        .unix_time = t->values[OPT_FORMAT].number == 1,
    };
    *route = r;
    return 0;
}

static void clock_route_close(const struct gw_host *host, void *route)
{
    (void)host;
    free(route);
}

static const char *const schemes[] = {"clock", NULL};

/* The one name that a plugin exports. */
const struct gw_bridge gangway_bridge = {
    .abi = GW_ABI,
    .size = sizeof(struct gw_bridge),
    .name = "clock",
    .help = "tells the time",
    .schemes = schemes,
    .options = options,
    .counters = counters,
    .route_open = clock_route_open,
    .route_close = clock_route_close,
    .open = clock_open,
    .data = clock_data,
    .drained = clock_drained,
    /* No client_ended: there is nothing to deliver. */
    .close = free,
};
