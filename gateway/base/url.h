/* SPDX-License-Identifier: Apache-2.0 */
/* url.h - the URLs of listeners and targets, taken apart but not interpreted.
 *
 *     tcp://a.example:22,[::1]:22?mode=text     echo:
 *     unix:/run/app.sock?mode=line              fd:3
 *
 * RFC 3986 syntax with two liberties: the authority may be a comma-separated
 * list of endpoints, and {placeholders} may stand anywhere after the scheme.
 * What is inside one, delimiters included, is not looked at; "{{" and "}}"
 * stand for braces.
 * No percent-decoding happens except in query values (url_param). */
#ifndef GW_URL_H
#define GW_URL_H

#include "base.h"

enum { URL_PARAMS_MAX = 32 };

struct url_param {
    struct slice name, value; /* value still percent-encoded; its p is NULL
                                 where no '=' stands */
};

struct url {
    struct slice scheme;    /* lower case letters, digits, + - . */
    struct slice authority; /* between "//" and the next / ? or the end;
                               p is NULL when there was no "//" */
    struct slice path;      /* after authority, or after "scheme:" */
    struct url_param params[URL_PARAMS_MAX];
    size_t n_params;
};

/* Take `text` apart; the slices point into it. Returns 0, or -1 with why
 * pointing at a static sentence: no scheme, a control character or space,
 * unbalanced braces, too many parameters or one without a name. A '#' is an
 * error. */
int url_parse(struct url *u, struct slice text, const char **why);

struct endpoint {
    struct slice host; /* no brackets; may hold a {placeholder} */
    struct slice port; /* digits or {placeholder}; n == 0 if absent */
};

/* Take the first endpoint of a comma-separated list ("host", "host:port",
 * "[v6]:port", "{query.address}") from `list`, and advance it past the comma.
 * Returns 1, 0 when the list is empty, -1 when malformed: an element is empty,
 * its host is, or holds more than letters, digits, "-._*" and placeholders (in
 * brackets: ":.%-_"). A lone placeholder yields it as host with no port. */
int endpoint_next(struct slice *list, struct endpoint *e);

/* Decimal port 1-65535 without leading zeros (0 only if allow_zero); -1
 * otherwise. */
int port_parse(struct slice s, bool allow_zero);

/* Percent-decode s into out[0..cap), NUL-terminated; '+' stays '+'.
 * Returns the length, or -1: bad escape, a NUL byte, or no room. */
int url_decode(struct slice s, char *out, size_t cap);

#endif
