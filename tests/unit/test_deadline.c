/* SPDX-License-Identifier: Apache-2.0 */
/* One timer for several waits; and a clock that nobody can set. */
#include "rig.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "../../gateway/net/deadline.h"

/* ---- a clock that can be set ---------------------------------------------
 * Both libev and the loop ask libc for the time, and find these. */

static time_t set_by; /* seconds, of the time of day */

static int ask(clockid_t which, struct timespec *t)
{
    int status = (int)syscall(SYS_clock_gettime, which, t);
    if (which == CLOCK_REALTIME)
        t->tv_sec += set_by;
    return status;
}

int clock_gettime(clockid_t which, struct timespec *t)
{
    return ask(which, t);
}

int gettimeofday(struct timeval *restrict v, void *restrict zone)
{
    struct timespec t;
    int status = ask(CLOCK_REALTIME, &t);
    (void)zone;
    v->tv_sec = t.tv_sec;
    v->tv_usec = t.tv_nsec / 1000;
    return status;
}

/* ---- an owner ------------------------------------------------------------
 */

struct owner {
    struct deadline d;
    struct loop *loop;
    unsigned looks;
    double looked_at;
    double next; /* re-armed for, while there is one */
};

static void look(struct deadline *d)
{
    struct owner *o = container_of(d, struct owner, d);
    o->looks++;
    o->looked_at = loop_now(o->loop);
    if (o->next > loop_now(o->loop))
        deadline_by(o->loop, d, o->next);
}

static struct owner owner_of(struct rig *r)
{
    struct owner o = {.loop = &r->loop};
    deadline_init(&o.d, look);
    return o;
}

static void looks_in_time(void **state)
{
    struct rig r;
    (void)state;

    rig_begin(&r, 4096);
    struct owner o = owner_of(&r);
    double at = deadline_in(&r.loop, 20);
    deadline_by(&r.loop, &o.d, at);
    UNTIL(&r, o.looks);
    assert_true(o.looked_at >= at - 0.001 && o.looked_at < at + 1);
    rig_turn_for(&r, 10);
    assert_int_equal(o.looks, 1);
    deadline_stop(&r.loop, &o.d);
    rig_end(&r);
}

static void the_earlier_counts(void **state)
{
    struct rig r;
    (void)state;

    rig_begin(&r, 4096);
    struct owner o = owner_of(&r);
    double soon = deadline_in(&r.loop, 10);
    deadline_by(&r.loop, &o.d, deadline_in(&r.loop, 60000));
    deadline_by(&r.loop, &o.d, 0); /* never: says nothing */
    deadline_by(&r.loop, &o.d, soon);
    deadline_by(&r.loop, &o.d, deadline_in(&r.loop, 60000));
    assert_true(o.d.at == soon);
    o.next = soon + 0.02;
    UNTIL(&r, o.looks);
    UNTIL(&r, o.looked_at >= o.next - 0.001);
    rig_turn_for(&r, 10);
    assert_true(o.looks <= 3); /* a look that comes early costs one more */
    deadline_stop(&r.loop, &o.d);
    rig_end(&r);
}

static void what_is_past_is_looked_at_next(void **state)
{
    struct rig r;
    (void)state;

    rig_begin(&r, 4096);
    struct owner o = owner_of(&r);
    deadline_by(&r.loop, &o.d, loop_now(&r.loop) - 5);
    assert_int_equal(o.looks, 0); /* not from within */
    UNTIL(&r, o.looks);
    deadline_by(&r.loop, &o.d, loop_now(&r.loop));
    UNTIL(&r, o.looks == 2);
    deadline_stop(&r.loop, &o.d);
    rig_end(&r);
}

static void stopped_is_stopped(void **state)
{
    struct rig r;
    (void)state;

    rig_begin(&r, 4096);
    struct owner o = owner_of(&r);
    deadline_stop(&r.loop, &o.d); /* of one that never ran */
    deadline_by(&r.loop, &o.d, deadline_in(&r.loop, 4));
    deadline_stop(&r.loop, &o.d);
    deadline_stop(&r.loop, &o.d);
    rig_turn_for(&r, 12);
    assert_int_equal(o.looks, 0);
    deadline_by(&r.loop, &o.d, deadline_in(&r.loop, 4));
    UNTIL(&r, o.looks == 1);
    rig_end(&r);
}

static void the_first_of_two(void **state)
{
    (void)state;
    assert_true(deadline_first(0, 0) == 0);
    assert_true(deadline_first(0, 5) == 5);
    assert_true(deadline_first(5, 0) == 5);
    assert_true(deadline_first(5, 4) == 4);
    assert_true(deadline_first(4, 5) == 4);
}

/* Ten years on, and back: what was a second away is a second away. */
static void a_set_clock_moves_nothing(void **state)
{
    struct rig r;
    (void)state;

    rig_begin(&r, 4096);
    for (int i = 0; i < 2; i++) {
        struct owner o = owner_of(&r);
        double began = loop_now(&r.loop), soon = deadline_in(&r.loop, 30),
               late = deadline_in(&r.loop, 3600000);
        deadline_by(&r.loop, &o.d, soon);
        set_by = i == 0 ? 10 * 365 * 86400 : 0;
        o.next = late;
        /* libev may take half a second to see that its clock was set. */
        rig_turn_for(&r, 600);
        assert_int_equal(o.looks, 1);
        assert_true(o.looked_at >= soon - 0.001 && o.looked_at < began + 0.6);
        assert_true(loop_now(&r.loop) < began + 30);
        assert_true(loop_now(&r.loop) >= began + 0.5);
        deadline_stop(&r.loop, &o.d);
    }
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_in_time),
        cmocka_unit_test(the_earlier_counts),
        cmocka_unit_test(what_is_past_is_looked_at_next),
        cmocka_unit_test(stopped_is_stopped),
        cmocka_unit_test(the_first_of_two),
        cmocka_unit_test(a_set_clock_moves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
