/* SPDX-License-Identifier: Apache-2.0 */
/* hash.h - uthash with a hash that peers cannot predict.
 *
 * Names and topics come from peers, who could choose them to fall into one
 * bucket. So the tables' function is SipHash-1-3 with a key drawn once per
 * process. Include this instead of <uthash.h>. When memory is out, HASH_ADD
 * leaves the element out and its hh.tbl NULL. */
#ifndef GW_HASH_H
#define GW_HASH_H

#include "base.h"

/* https://www.aumasson.jp/siphash/siphash.pdf, one round a word and three at
 * the end. */
uint64_t siphash13(const uint8_t key[16], const void *data, size_t n);

/* The same under the process's key. Thread-safe. */
uint64_t hash_keyed(const void *p, size_t n);

#define HASH_FUNCTION(keyptr, keylen, hashv)                                   \
    ((hashv) = (unsigned)hash_keyed((keyptr), (keylen)))
#define HASH_NONFATAL_OOM 1

#include <uthash.h>

#endif
