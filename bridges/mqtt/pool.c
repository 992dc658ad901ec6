/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - the process's hubs. */
#include "pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct pooled {
    struct pooled *prev, *next;
    struct hub *hub; /* not a reference */
    struct hub_settings settings;
    char *key; /* all of the settings, as one text */
    char *strings[11];
    size_t n_strings;
};

/* One list for the process: a reload finds the hubs of the generation before,
 * which knows nothing of it. */
static struct {
    pthread_mutex_t lock;
    struct pooled *list;
} pool = {PTHREAD_MUTEX_INITIALIZER, NULL};

/* Lengths go first, so that no text can be mistaken for two. */
static char *key_of(const struct pool_settings *s)
{
    const char *const texts[] = {
        s->brokers, s->ca,       s->cert,      s->key,        s->sni,
        s->user,    s->password, s->client_id, s->will_topic, s->will_payload};
    char *key = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&key, &n);

    if (!f)
        return NULL;
    fprintf(f, "%s %d %d %d %u %u %u %u %zu %zu %zu %zu %zu %zu", s->ops->name,
            s->tls, s->insecure, s->version, s->keepalive_s,
            s->connect_timeout_ms, s->window, s->hold_ms, s->hold_max,
            s->hold_bytes, s->window_bytes, s->max_payload, s->retained_max,
            s->retained_bytes);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        fprintf(f, " %d:%s", texts[i] ? (int)strlen(texts[i]) : -1,
                texts[i] ? texts[i] : "");
    if (fclose(f) != 0) {
        free(key);
        return NULL;
    }
    return key;
}

static void pooled_free(struct pooled *p)
{
    for (size_t i = 0; i < p->n_strings; i++)
        free(p->strings[i]);
    free(p->key);
    free(p);
}

/* The hub is gone. */
static void pooled_release(void *owner)
{
    struct pooled *p = owner;
    pthread_mutex_lock(&pool.lock);
    DL_DELETE(pool.list, p);
    pthread_mutex_unlock(&pool.lock);
    pooled_free(p);
}

static const char *keep(struct pooled *p, const char *text)
{
    if (!text)
        return NULL;
    char *copy = strdup(text);
    p->strings[p->n_strings++] = copy;
    return copy ? copy : "";
}

static struct pooled *pooled_new(const struct pool_settings *s, char *key)
{
    struct pooled *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->key = key;
    p->settings = (struct hub_settings){
        .ops = s->ops,
        .bridge = s->bridge,
        .hold_max = s->hold_max,
        .hold_bytes = s->hold_bytes,
        .hold_ms = s->hold_ms,
        .upstream =
            {
                .host = s->host,
                .bridge = s->bridge,
                .brokers = keep(p, s->brokers),
                .tls = s->tls,
                .insecure = s->insecure,
                .ca = keep(p, s->ca),
                .cert = keep(p, s->cert),
                .key = keep(p, s->key),
                .sni = keep(p, s->sni),
                .user = keep(p, s->user),
                .password = keep(p, s->password),
                .client_id = keep(p, s->client_id),
                .version = s->version,
                .keepalive_s = s->keepalive_s,
                .connect_timeout_ms = s->connect_timeout_ms,
                .will_topic = keep(p, s->will_topic),
                .will_payload = keep(p, s->will_payload),
                .window = s->window,
                .window_bytes = s->window_bytes,
                .max_payload = s->max_payload,
                .retained_max = s->retained_max,
                .retained_bytes = s->retained_bytes,
            },
    };
    return p;
}

/* With the lock: a hub that is not ending, with a reference. */
static struct hub *find(const char *key)
{
    struct pooled *p;
    DL_FOREACH(pool.list, p)
    if (strcmp(p->key, key) == 0 && hub_try_ref(p->hub))
        return p->hub;
    return NULL;
}

struct hub *pool_find(const struct pool_settings *s)
{
    char *key = key_of(s);
    struct hub *h = NULL;

    if (key) {
        pthread_mutex_lock(&pool.lock);
        h = find(key);
        pthread_mutex_unlock(&pool.lock);
    }
    free(key);
    return h;
}

struct hub *pool_get(const struct pool_settings *s, struct gw_worker *w,
                     char *err, size_t cap)
{
    char *key = key_of(s);
    struct pooled *p = NULL;
    struct hub *h = NULL;

    snprintf(err, cap, "out of memory");
    pthread_mutex_lock(&pool.lock);
    if (key && !(h = find(key)) && (p = pooled_new(s, key))) {
        key = NULL;
        p->settings.upstream.worker = w;
        h = p->hub = hub_new(&p->settings, pooled_release, p, err, cap);
        if (h)
            DL_APPEND(pool.list, p);
        else
            pooled_free(p);
    }
    pthread_mutex_unlock(&pool.lock);
    free(key);
    return h;
}
