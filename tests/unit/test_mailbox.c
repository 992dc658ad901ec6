/* SPDX-License-Identifier: Apache-2.0 */
/* Calls from many threads to one loop: each once, in order, or refused. */
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>

#include "../../gateway/net/mailbox.h"

enum { THREADS = 8, POSTS = 4000 };

struct poster {
    pthread_t thread;
    struct mailbox *box;
    unsigned posted, refused; /* the thread's */
    unsigned came;            /* the loop's */
};

struct note {
    struct poster *from;
    unsigned number;
    pthread_t loop; /* whose thread must call */
};

static void note_cb(void *arg)
{
    struct note *n = arg;
    assert_true(pthread_equal(n->loop, pthread_self()));
    assert_int_equal(n->number, n->from->came);
    n->from->came++;
    free(n);
}

static pthread_t loop_thread;

static bool post_one(struct poster *p)
{
    struct note *n = malloc(sizeof *n);
    *n = (struct note){p, p->posted, loop_thread};
    if (mailbox_post(p->box, note_cb, n)) {
        p->posted++;
        return true;
    }
    free(n);
    p->refused++;
    return false;
}

static void *poster_main(void *arg)
{
    for (int i = 0; i < POSTS; i++)
        post_one(arg);
    return NULL;
}

static void *poster_until_refused(void *arg)
{
    while (post_one(arg))
        ;
    for (int i = 0; i < 100; i++) /* nor ever after */
        assert_false(post_one(arg));
    return NULL;
}

static void start(struct poster *p, struct mailbox *box, void *(*fn)(void *))
{
    loop_thread = pthread_self();
    for (int i = 0; i < THREADS; i++) {
        p[i] = (struct poster){.box = box};
        assert_int_equal(pthread_create(&p[i].thread, NULL, fn, &p[i]), 0);
    }
}

static unsigned all_came(const struct poster *p)
{
    unsigned n = 0;
    for (int i = 0; i < THREADS; i++)
        n += p[i].came;
    return n;
}

static void each_once_and_in_order(void **state)
{
    struct rig r;
    struct mailbox box;
    struct poster p[THREADS];
    (void)state;

    rig_begin(&r, 4096);
    assert_int_equal(mailbox_init(&box, &r.loop), 0);
    start(p, &box, poster_main);
    UNTIL(&r, all_came(p) == THREADS * POSTS);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(p[i].thread, NULL);
        assert_int_equal(p[i].posted, POSTS);
        assert_int_equal(p[i].refused, 0);
    }
    mailbox_close(&box);
    mailbox_fini(&box);
    rig_end(&r);
}

/* What was taken is called, what is refused is not, and nobody wakes a loop
 * that is gone. */
static void closed_while_they_post(void **state)
{
    struct rig r;
    struct mailbox box;
    struct poster p[THREADS];
    (void)state;

    rig_begin(&r, 4096);
    assert_int_equal(mailbox_init(&box, &r.loop), 0);
    start(p, &box, poster_until_refused);
    UNTIL(&r, all_came(p) > 1000);
    mailbox_close(&box);
    rig_end(&r);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(p[i].thread, NULL);
        assert_int_equal(p[i].came, p[i].posted);
        assert_int_equal(p[i].refused, 101);
    }
    mailbox_fini(&box);
}

/* ---- from the loop's own thread ------------------------------------------
 */

struct self {
    struct rig rig;
    struct mailbox box;
    unsigned runs;
};

static void again_cb(void *arg)
{
    struct self *s = arg;
    if (++s->runs < 3)
        assert_true(mailbox_post(&s->box, again_cb, s));
}

static void posts_while_called(void **state)
{
    struct self s = {0};
    (void)state;

    rig_begin(&s.rig, 4096);
    assert_int_equal(mailbox_init(&s.box, &s.rig.loop), 0);
    assert_true(mailbox_post(&s.box, again_cb, &s));
    assert_int_equal(s.runs, 0); /* never from within */
    UNTIL(&s.rig, s.runs == 3);
    assert_true(rig_restless(&s.rig, 10) <= 2);
    mailbox_close(&s.box);
    mailbox_fini(&s.box);
    rig_end(&s.rig);
}

static void last_cb(void *arg)
{
    struct self *s = arg;
    s->runs++;
    assert_false(mailbox_post(&s->box, last_cb, s));
}

static void closing_runs_what_is_there(void **state)
{
    struct self s = {0};
    (void)state;

    rig_begin(&s.rig, 4096);
    assert_int_equal(mailbox_init(&s.box, &s.rig.loop), 0);
    assert_true(mailbox_post(&s.box, last_cb, &s));
    assert_true(mailbox_post(&s.box, last_cb, &s));
    mailbox_close(&s.box);
    assert_int_equal(s.runs, 2);
    assert_false(mailbox_post(&s.box, last_cb, &s));
    rig_turn_for(&s.rig, 4);
    assert_int_equal(s.runs, 2);
    mailbox_fini(&s.box);
    rig_end(&s.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_once_and_in_order),
        cmocka_unit_test(closed_while_they_post),
        cmocka_unit_test(posts_while_called),
        cmocka_unit_test(closing_runs_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
