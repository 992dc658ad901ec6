/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h - what certain strings must look like, and their normal form. */
#ifndef GW_CONF_RULES_H
#define GW_CONF_RULES_H

#include "loader.h"

/* Each returns 0 and perhaps replaces *text, or -1 with err set. */

/* "name" or "*.suffix", in lower case; "*" becomes NULL: any host. */
int rule_host(struct loader *l, char **text, struct err *err);

/* Begins with '/'. */
int rule_path(struct loader *l, char **text, struct err *err);

/* A URL; unix: with a relative path is made absolute. */
int rule_target(struct loader *l, char **text, struct err *err);

/* A token (RFC 9110 section 5.6.2). */
int rule_subprotocol(struct loader *l, char **text, struct err *err);

/* SCHEME://HOST[:PORT] in lower case, or "null". */
int rule_origin(struct loader *l, char **text, struct err *err);

/* HOST:PORTS or unix:PATTERN; the allow-list knows the rest. */
int rule_allow_target(struct loader *l, char **text, struct err *err);

/* unix:PATH, or ADDR:PORT on the loopback. */
int rule_admin(struct loader *l, char **text, struct err *err);

/* A path for a Unix socket: not empty, short enough for sockaddr_un. */
int rule_socket_path(struct loader *l, struct slice path, char **out,
                     struct err *err);

#endif
