/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the command line: load MODE [--FLAG VALUE]... */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include "target.h"

#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *p;
    size_t n;
};

/* Of a flag that may be repeated. */
enum { LIST_MAX = 16 };
struct texts {
    const char *list[LIST_MAX];
    size_t n;
};
struct frames {
    struct bytes list[LIST_MAX];
    size_t n;
};

struct options {
    const char *mode;
    const char *label;

    struct target gateway;
    const char *subprotocol;
    struct texts headers;
    bool text;   /* text frames of printable bytes; else binary */
    bool resume; /* TLS sessions */

    uint64_t backend; /* port; 0: none */
    uint64_t pid;     /* of the gateway; 0: not measured */

    uint64_t sessions;
    uint64_t size;   /* bytes of a message */
    uint64_t frame;  /* the same, with what MQTT puts before it */
    uint64_t window; /* messages in flight */
    double seconds, warmup, settle;

    bool mqtt;
    uint64_t topics;

    struct frames first; /* what subscribers send after the upgrade */
    uint64_t ready;      /* frames that they must get back for it */
    bool packets;        /* fan-out counts PUBLISH packets, not frames */
    struct target publisher;
    const char *publisher_subprotocol;
    struct frames publisher_first;
    struct bytes message;
};

/* Prints what is wrong and ends the program with EXIT_USAGE if something is;
 * prints the help and ends it with 0 if asked to. */
void options_parse(struct options *o, int argc, char **argv);

#endif
