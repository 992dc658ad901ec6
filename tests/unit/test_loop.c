/* SPDX-License-Identifier: Apache-2.0 */
/* What is deferred runs at the end of the turn, once, and before the end. */
#include "rig.h"

#include <sys/resource.h>

struct item {
    struct loop_later later;
    struct loop *loop;
    int runs, again;
};

static void item_cb(struct loop_later *later)
{
    struct item *i = container_of(later, struct item, later);
    i->runs++;
    if (i->again-- > 0)
        loop_defer(i->loop, &i->later);
}

static struct item item_of(struct loop *l, int again)
{
    return (struct item){.later.fn = item_cb, .loop = l, .again = again};
}

static void deferred_runs_once(void **state)
{
    struct rig r;
    (void)state;

    rig_begin(&r, 4096);
    struct item items[3] = {item_of(&r.loop, 0), item_of(&r.loop, 0),
                            item_of(&r.loop, 0)};
    for (size_t i = 0; i < LEN(items); i++) {
        loop_defer(&r.loop, &items[i].later);
        assert_int_equal(items[i].runs, 0); /* not from within */
    }
    rig_turn(&r);
    rig_turn(&r);
    for (size_t i = 0; i < LEN(items); i++)
        assert_int_equal(items[i].runs, 1);
    rig_end(&r);
}

/* One that defers itself, as an object does that has more to end. */
static void deferred_may_defer(void **state)
{
    struct rig r;
    (void)state;

    rig_begin(&r, 4096);
    struct item i = item_of(&r.loop, 5);
    loop_defer(&r.loop, &i.later);
    rig_turn(&r);
    assert_int_equal(i.runs, 6); /* all before the loop waits */
    rig_end(&r);
}

static void defer_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    struct item *i = w->data;
    (void)ev, (void)revents;
    loop_defer(i->loop, &i->later);
    ev_break(i->loop->ev, EVBREAK_ALL);
}

/* A loop that is broken out of does not come to the end of its turn. */
static void settled_without_a_turn(void **state)
{
    struct loop l;
    ev_timer t;
    (void)state;

    assert_int_equal(loop_init(&l, 4096), 0);
    struct item i = item_of(&l, 0), last = item_of(&l, 1);
    ev_timer_init(&t, defer_cb, 0., 0.);
    t.data = &i;
    ev_timer_start(l.ev, &t);
    ev_run(l.ev, 0);
    assert_int_equal(i.runs, 0);
    loop_settle(&l);
    assert_int_equal(i.runs, 1);
    loop_settle(&l);
    assert_int_equal(i.runs, 1);
    loop_defer(&l, &last.later);
    loop_fini(&l);
    assert_int_equal(last.runs, 2);
}

static void nothing_keeps_an_idle_loop(void **state)
{
    struct loop l;
    (void)state;

    assert_int_equal(loop_init(&l, 4096), 0);
    assert_int_equal(ev_run(l.ev, 0), 0); /* returns: nobody is watched for */
    loop_fini(&l);
    loop_fini(&l); /* once more does no harm */
}

static void no_descriptor_no_loop(void **state)
{
    struct rlimit before, none;
    struct loop l;
    (void)state;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(loop_init(&l, 4096), -1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(l.ev);
    assert_null(l.read_buf);
}

static void time_goes_on(void **state)
{
    struct rig r;
    (void)state;

    rig_begin(&r, 4096);
    double began = loop_now(&r.loop), before = began;
    for (int i = 0; i < 5; i++) {
        rig_turn(&r);
        assert_true(loop_now(&r.loop) >= before);
        before = loop_now(&r.loop);
    }
    assert_true(before > began && before < began + 5);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deferred_runs_once),
        cmocka_unit_test(deferred_may_defer),
        cmocka_unit_test(settled_without_a_turn),
        cmocka_unit_test(nothing_keeps_an_idle_loop),
        cmocka_unit_test(no_descriptor_no_loop),
        cmocka_unit_test(time_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
