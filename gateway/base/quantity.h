/* SPDX-License-Identifier: Apache-2.0 */
/* quantity.h - numbers with units, as people write them. */
#ifndef GW_QUANTITY_H
#define GW_QUANTITY_H

#include "err.h"

/* Decimal digits alone. These return 0, or -1 with err set. */
int count_parse(struct slice text, uint64_t *out, struct err *err);

/* Bytes: 4096, 64KiB, 1MiB, 2GiB; KB, MB and GB count in thousands. */
int size_parse(struct slice text, uint64_t *bytes, struct err *err);

/* Milliseconds: 500ms, 30s, 5m, 1h, 2d; 0 needs no unit. */
int duration_parse(struct slice text, uint64_t *ms, struct err *err);

/* The shortest exact text that size_parse or duration_parse reads back. */
const char *size_format(uint64_t bytes, char *buf, size_t cap);
const char *duration_format(uint64_t ms, char *buf, size_t cap);

#endif
