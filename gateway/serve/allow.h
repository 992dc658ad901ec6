/* SPDX-License-Identifier: Apache-2.0 */
/* allow.h - where targets named by clients may lead (--allow-target).
 *
 *     db.internal:5432      this name and port
 *     *.db.internal:5432    any name below it
 *     10.0.0.0/8:5432,6432  addresses, several ports
 *     [fd00::]/8:1024-2047  a range; * is every port
 *     unix:/run/app/[a-z]*.sock   fnmatch(3); '/' and a leading '.' are
 *                           never matched by *
 *
 * A name pattern allows what the client asked for by that name, unless it
 * resolves to an address that nobody reaches by accident: loopback,
 * link-local, unspecified, multicast, broadcast, a cloud's metadata service.
 * An address pattern allows the resolved address, however it was named. Those
 * special addresses need a pattern of their own, no wider than their block:
 * 127.0.0.1 and 127.0.0.0/8 allow 127.0.0.1, 0.0.0.0/0 does not. The name
 * "localhost", listed as such, also allows loopback. IPv4-mapped addresses are
 * judged as IPv4. Names are compared without case or a final dot. */
#ifndef GW_ALLOW_H
#define GW_ALLOW_H

#include "../../conf/settings.h"

#include <sys/socket.h>

struct allow_list;

/* `patterns` may be NULL; it is not needed afterwards. NULL with err set, the
 * pattern quoted. */
struct allow_list *allow_list_new(const struct string_list *patterns,
                                  struct err *err);
void allow_list_free(struct allow_list *a);
bool allow_list_empty(const struct allow_list *a);

/* Before resolving: whether any pattern could allow this name and port. A
 * literal address ("10.0.0.1", "fd00::1", "[fd00::1]") is judged in full. */
bool allow_name(const struct allow_list *a, const char *host, uint16_t port);

/* After resolving; `port` is asked about, not the one in sa. */
bool allow_address(const struct allow_list *a, const char *host, uint16_t port,
                   const struct sockaddr *sa);

bool allow_unix(const struct allow_list *a, const char *path);

#endif
