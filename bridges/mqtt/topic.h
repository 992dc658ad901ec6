/* SPDX-License-Identifier: Apache-2.0 */
/* topic.h - MQTT topic names and filters: MQTT 5.0 section 4.7 (as 3.1.1).
 * Pure. Texts are not NUL-terminated; their length is given. */
#ifndef GW_MQTT_TOPIC_H
#define GW_MQTT_TOPIC_H

#include "text.h"

enum {
    TOPIC_MAX = 65535,
    TOPIC_LEVELS_MAX = 32, /* deeper ones are refused: matching recurses */
};

/* 1-65535 bytes of UTF-8 without control characters and noncharacters (a
 * broker may drop the connection for one, MQTT 5.0 section 1.5.4), at most
 * TOPIC_LEVELS_MAX levels. A name has no '+' or '#'; a filter has them well
 * placed: '+' a whole level, '#' the last one. A filter that begins with
 * "$share/" has a group and a filter behind it. */
bool topic_name_valid(struct text t);
bool topic_filter_valid(struct text f);
bool topic_has_wildcard(struct text f);

/* Take the next level from *rest, whose p becomes NULL behind the last one;
 * then there is none: false. */
bool topic_level(struct text *rest, struct text *level);

/* "$share/GROUP/FILTER" (MQTT 5.0 section 4.8.2): *filter is what follows.
 * False: it is not that. */
bool topic_is_shared(struct text f, struct text *filter);

/* Whether it begins with '$'; wildcards at the first level do not match such
 * a topic (section 4.7.2). */
bool topic_is_system(struct text t);

/* The rest takes valid names and filters, and no shared ones: see above. */

bool topic_matches(struct text filter, struct text name);

/* Whether every name that `inner` matches is matched by `outer`. */
bool topic_contains(struct text outer, struct text inner);

/* Whether some name is matched by both, if only the empty one. */
bool topic_overlaps(struct text a, struct text b);

#endif
