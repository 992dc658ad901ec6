/* SPDX-License-Identifier: Apache-2.0 */
/* mime.h - media types of files, by extension. */
#ifndef GW_MIME_H
#define GW_MIME_H

/* The Content-Type of a file of this name, by what follows its last '.', in
 * any case; "application/octet-stream" if that is nothing we know. */
const char *mime_type(const char *name);

#endif
