/* SPDX-License-Identifier: Apache-2.0 */
/* template.h - {placeholders} in targets: path.NAME, query.NAME, host,
 * client.ip. */
#ifndef GW_TEMPLATE_H
#define GW_TEMPLATE_H

#include "pattern.h"

/* What placeholders stand for in one request. */
struct template_values {
    const struct captures *path;
    struct slice query;     /* percent-encoded: a=b&c=d */
    struct slice host;      /* of the request, without port, lower case */
    struct slice client_ip; /* numeric */
};

/* Check the braces and names of `text` at load time; a {path.NAME} must be in
 * `p`. Returns the number of placeholders, or -1 with err set. "{{" and "}}"
 * stand for braces. */
int template_check(const char *text, const struct pattern *p, struct err *err);

/* What a filled-in value may hold. */
enum template_kind {
    TEMPLATE_ENDPOINT, /* letters, digits, - . _ : [ ] % only: it cannot add a
                          second endpoint, a path or an option */
    TEMPLATE_PATH,     /* of a file: no '/', no leading '.', no control */
    TEMPLATE_TOPIC,    /* of MQTT: no '/', '+', '#', no control */
    TEMPLATE_TEXT,     /* no control */
};

/* Fill in `text` to out[0..cap), NUL-terminated; cap > 0. Returns the length,
 * or -1 with *why, which then points into `out`: a value is missing, empty,
 * given twice, holds a character that its place does not allow, or there is
 * no room. *why quotes names of the template, never what a client sent. */
int template_fill(const char *text, const struct template_values *v,
                  enum template_kind kind, char *out, size_t cap,
                  const char **why);

#endif
