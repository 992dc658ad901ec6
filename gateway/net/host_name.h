/* SPDX-License-Identifier: Apache-2.0 */
/* host_name.h - hosts that need no name server, and those that may be asked
 * about. Belongs to resolver.c. */
#ifndef GW_HOST_NAME_H
#define GW_HOST_NAME_H

#include "dns.h"

enum {
    HOST_NAME_MAX_LEN = 253,                /* RFC 1035 section 3.1, as text */
    HOST_NAME_SIZE = HOST_NAME_MAX_LEN + 2, /* the root's dot, and NUL */
};

/* Numeric addresses in the forms of URLs: 1.2.3.4, ::1, [::1], fe80::1%eth0.
 * True if host is one; its zone may not exist, and then *a stays empty. */
bool host_literal(struct dns_answer *a, const char *host);

/* Whether a name is localhost or below it, which is never a question for a
 * server: RFC 6761 section 6.3. name[0..n) is from host_fold. */
bool host_localhost(struct dns_answer *a, const char *name, size_t n);

/* Fold host to lower case into out. Returns its length without the root's dot
 * (which stays in out), or 0 if it can be no name. */
size_t host_fold(const char *host, char out[HOST_NAME_SIZE]);

#endif
