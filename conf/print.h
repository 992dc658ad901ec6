/* SPDX-License-Identifier: Apache-2.0 */
/* print.h - the table of settings in other languages. */
#ifndef GW_CONF_PRINT_H
#define GW_CONF_PRINT_H

#include <stdio.h>

void print_schema(FILE *f);         /* JSON Schema, draft 2020-12 */
void print_reference(FILE *f);      /* scdoc, for gangway.yaml(5) */
void print_default_config(FILE *f); /* gangway.yaml */

#endif
