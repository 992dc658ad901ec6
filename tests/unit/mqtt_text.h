/* SPDX-License-Identifier: Apache-2.0 */
/* mqtt_text.h - literals as struct text, NUL bytes included. */
#ifndef GW_MQTT_TEXT_LITERALS_H
#define GW_MQTT_TEXT_LITERALS_H

#include "../../bridges/mqtt/text.h"

/* In expressions, and in tables. */
#define T(literal) ((struct text){literal, sizeof(literal) - 1})
#define TEXT(literal)                                                          \
    {                                                                          \
        literal, sizeof(literal) - 1                                           \
    }

#endif
