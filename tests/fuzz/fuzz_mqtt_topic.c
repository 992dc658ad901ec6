/* SPDX-License-Identifier: Apache-2.0 */
/* Two filters, then names, a line each. What is said of the filters must hold
 * for each name; rules made of them must say the same. */
#include "mqtt_naive.h"

#include "../../bridges/mqtt/rules.h"
#include "../unit/topic_model.h"

static void check_valid(struct text t)
{
    struct text inner;
    bool shared = topic_is_shared(t, &inner);

    CHECK(topic_name_valid(t) == model_name(t));
    CHECK(topic_filter_valid(t) == model_filter(t) || topic_is_system(t));
    if (topic_name_valid(t)) {
        CHECK(!topic_has_wildcard(t));
        CHECK(text_is_utf8(t));
        CHECK(!memchr(t.p, '\0', t.n));
        CHECK(topic_filter_valid(t) || topic_is_system(t));
    }
    if (topic_filter_valid(t)) {
        CHECK(topic_name_valid(t) == !topic_has_wildcard(t));
        CHECK(!shared || topic_filter_valid(inner) || topic_is_system(inner));
        CHECK(topic_contains(t, t));
    }
    CHECK(!shared || lies_in((struct slice){inner.p, inner.n}, t.p, t.n));
}

static void check_name(struct text a, struct text b, struct text name)
{
    bool by_a = naive_matches(a, name), by_b = naive_matches(b, name);

    CHECK(topic_matches(a, name) == by_a);
    CHECK(topic_matches(b, name) == by_b);
    CHECK(!topic_contains(a, b) || by_a || !by_b);
    CHECK(!topic_contains(b, a) || by_b || !by_a);
    CHECK(topic_overlaps(a, b) || !(by_a && by_b));
    CHECK(topic_contains(a, name) == by_a);
    CHECK(topic_overlaps(a, name) == by_a);
}

static int fill(void *ctx, const char *text, char *out, size_t cap)
{
    size_t n = strlen(text);

    (void)ctx;
    if (n >= cap)
        return -1;
    memcpy(out, text, n + 1);
    return (int)n;
}

/* allow=all:A, deny=all:B */
static struct grants *grants_of(struct text a, struct text b)
{
    char *allow = calloc(1, a.n + 5), *deny = calloc(1, b.n + 5), err[100];
    struct rules *r;
    struct grants *g;

    memcpy(allow, "all:", 4);
    memcpy(allow + 4, a.p, a.n);
    memcpy(deny, "all:", 4);
    memcpy(deny + 4, b.p, b.n);
    r = rules_new(allow, deny, err, sizeof(err));
    g = rules_fill(r, fill, NULL);
    rules_free(r);
    free(allow);
    free(deny);
    return g;
}

/* Whoever may subscribe f gets no name that is denied, and none beyond what
 * is allowed. */
static void check_grants(const struct grants *g, struct text a, struct text b,
                         struct text f, struct text name)
{
    bool allowed = naive_matches(a, name), denied = naive_matches(b, name);
    enum grant grant = grants_subscribe(g, f);

    CHECK((grants_publish(g, name) == GRANT_YES) == (allowed && !denied));
    CHECK(grants_deliver(g, name) == !denied);
    if (grant == GRANT_NO || !naive_matches(f, name))
        return;
    CHECK(allowed);
    CHECK(grant == GRANT_CHECKED || !denied);
}

static bool plain_filter(struct text f)
{
    /* Rules are separated by ';', and blanks around them do not count. */
    return topic_filter_valid(f) && !topic_is_shared(f, &(struct text){0}) &&
           !memchr(f.p, ';', f.n) && f.p[0] != ' ' && f.p[f.n - 1] != ' ';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {copy_of(data, size), size}, a, b, name;
    char *all = (char *)rest.p;

    if (next_line(&rest, &a) && next_line(&rest, &b)) {
        check_valid(a);
        check_valid(b);
        if (plain_filter(a) && plain_filter(b)) {
            struct grants *g = grants_of(a, b);

            CHECK(topic_overlaps(a, b) == topic_overlaps(b, a));
            CHECK(!topic_contains(a, b) || topic_overlaps(a, b));
            while (next_line(&rest, &name)) {
                check_valid(name);
                if (!topic_name_valid(name))
                    continue;
                check_name(a, b, name);
                if (g) {
                    check_grants(g, a, b, a, name);
                    check_grants(g, a, b, b, name);
                    check_grants(g, a, b, name, name);
                }
            }
            free(g);
        }
    }
    free(all);
    return 0;
}
