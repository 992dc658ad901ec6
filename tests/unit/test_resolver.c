/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses: what is asked, what is not, what is kept. */
#include "fake_dns.h"

#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/stat.h>
#include <time.h>

#include "../../gateway/net/resolver.h"

static struct dns_record records[] = {
    {.name = "both.test",
     .addresses = "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 192.0.2.3",
     .ttl = 60},
    {.name = "v4.test", .addresses = "192.0.2.4", .ttl = 60},
    {.name = "v6.test", .addresses = "2001:db8::6", .ttl = 60},
    {.name = "many.test",
     .addresses = "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 "
                  "192.0.2.6 192.0.2.7 192.0.2.8 192.0.2.9 192.0.2.10 "
                  "192.0.2.11 192.0.2.12 192.0.2.13 192.0.2.14 192.0.2.15 "
                  "192.0.2.16 192.0.2.17 192.0.2.18",
     .ttl = 60},
    {.name = "zero-ttl.test", .addresses = "192.0.2.5", .ttl = 0},
    {.name = "one-ttl.test", .addresses = "192.0.2.6 2001:db8::7", .ttl = 1},
    {.name = "empty.test", .ttl = 60},
    {.name = "gone.test", .rcode = DNS_NXDOMAIN},
    {.name = "broken.test", .rcode = DNS_SERVFAIL},
    {.name = "silent.test", .rcode = DNS_SILENT},
    /* a hostile server's answer to what is no question */
    {.name = "192.0.2.9", .addresses = "127.0.0.7 ::1", .ttl = 60},
    {.name = "localhost", .addresses = "192.0.2.66", .ttl = 60},
    {.name = "*.many.test", .addresses = "192.0.2.8", .ttl = 60},
    {.name = NULL},
};

static unsigned asked(const char *name)
{
    for (struct dns_record *r = records; r->name; r++)
        if (strcmp(r->name, name) == 0)
            return r->asked;
    fail();
    return 0;
}

/* ---- questions
 * ------------------------------------------------------------------- */

struct fixture {
    struct fake_dns dns;
    struct loop loop;
    struct resolver *resolver;
    bool over; /* took too long */
};

/* What came of one question. */
struct told {
    struct fixture *f;
    bool done;
    enum resolved result;
    size_t n;
    char text[512];    /* "ADDRESS#PORT ADDRESS#PORT" */
    struct told *asks; /* in its callback, for this host */
    const char *host;
    struct resolver_query *query; /* to be cancelled in the callback */
};

static void ask(struct told *t, const char *host);

static void on_told(void *ctx, enum resolved result,
                    const struct address *addrs, size_t n)
{
    struct told *t = ctx;
    size_t used = 0;

    assert_false(t->done);
    t->done = true;
    t->result = result;
    t->n = n;
    for (size_t i = 0; i < n; i++) {
        char host[NI_MAXHOST], port[NI_MAXSERV];
        assert_int_equal(getnameinfo((const struct sockaddr *)&addrs[i].sa,
                                     addrs[i].len, host, sizeof(host), port,
                                     sizeof(port),
                                     NI_NUMERICHOST | NI_NUMERICSERV),
                         0);
        used += (size_t)snprintf(t->text + used, sizeof(t->text) - used,
                                 "%s%s#%s", used ? " " : "", host, port);
    }
    if (t->query)
        resolver_cancel(t->query);
    if (t->asks)
        ask(t->asks, t->host);
}

static void ask(struct told *t, const char *host)
{
    struct fixture *f = t->f;

    *t = (struct told){.f = f};
    struct resolver_query *q = resolver_ask(f->resolver, host, 80, on_told, t);
    assert_non_null(q);
    assert_false(t->done); /* never before the return */
}

static void over_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    (void)revents;
    *(bool *)w->data = true;
    ev_break(ev, EVBREAK_ALL);
}

/* Turn the loop until t is told, at most for `seconds`. */
static void wait_for(struct fixture *f, const struct told *t, double seconds)
{
    ev_timer timer;

    f->over = false;
    ev_timer_init(&timer, over_cb, seconds, 0.);
    timer.data = &f->over;
    ev_now_update(f->loop.ev);
    ev_timer_start(f->loop.ev, &timer);
    while (!(t && t->done) && !f->over)
        ev_run(f->loop.ev, EVRUN_ONCE);
    ev_timer_stop(f->loop.ev, &timer);
}

static struct told resolve(struct fixture *f, const char *host)
{
    struct told t = {.f = f};

    ask(&t, host);
    wait_for(f, &t, 10);
    assert_true(t.done);
    return t;
}

static void pass(struct fixture *f, double seconds)
{
    wait_for(f, NULL, seconds);
}

static int begin(void **state)
{
    static struct fixture f;

    dns_start(&f.dns, records);
    assert_int_equal(loop_init(&f.loop, 4096), 0);
    f.resolver = resolver_new(&f.loop, f.dns.servers);
    assert_non_null(f.resolver);
    *state = &f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    resolver_free(f->resolver);
    loop_fini(&f->loop);
    dns_stop(&f->dns);
    return 0;
}

/* ---- no questions
 * ------------------------------------------------------------------- */

static void literals(void **state)
{
    static const struct {
        const char *host, *want; /* NULL: not found */
    } cases[] = {
        {"192.0.2.9", "192.0.2.9#80"},
        {"2001:DB8::9", "2001:db8::9#80"},
        {"[2001:db8::9]", "2001:db8::9#80"},
        {"::ffff:192.0.2.9", "::ffff:192.0.2.9#80"},
        {"fe80::1%1", "fe80::1%lo#80"},
        {"[fe80::1%1]", "fe80::1%lo#80"},
        {"fe80::1%lo", "fe80::1%lo#80"},
        {"fe80::1%no-such-if", NULL},
        {"fe80::1%", NULL},
        {"fe80::1%0", NULL},
        {"192.0.2.9%lo", NULL},
        {"192.0.2.256", NULL},
        {"192.0.2", NULL},
        {"127.1", NULL},
        {"2130706433", NULL},
        {"192.0.2.9.", NULL},
        {"[192.0.2.9", NULL},
        {"::g", NULL},
    };
    struct fixture *f = *state;

    if (if_nametoindex("lo") != 1)
        skip();
    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s\n", cases[i].host);
        struct told t = resolve(f, cases[i].host);
        assert_int_equal(t.result,
                         cases[i].want ? RESOLVED : RESOLVE_NOT_FOUND);
        assert_string_equal(t.text, cases[i].want ? cases[i].want : "");
    }
    assert_int_equal(f->dns.asked, 0);
}

static void localhost(void **state)
{
    static const char *const hosts[] = {"localhost", "LocalHost", "localhost.",
                                        "a.b.localhost"};
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(hosts); i++) {
        struct told t = resolve(f, hosts[i]);
        assert_int_equal(t.result, RESOLVED);
        assert_string_equal(t.text, "::1#80 127.0.0.1#80");
    }
    assert_int_equal(f->dns.asked, 0);
}

static void impossible_names(void **state)
{
    char long_label[70], long_name[300];
    const char *const hosts[] = {
        "",          ".",           "a..test",       ".test",  "a b.test",
        "a\n.test",  "a/b.test",    "\xc3\xa9.test", "*.test", "a.test..",
        "{query.x}", "user@a.test", long_label,      long_name};
    struct fixture *f = *state;

    memset(long_label, 'x', sizeof(long_label));
    memcpy(long_label + 64, ".test", 6);
    for (size_t i = 0; i < sizeof(long_name); i++)
        long_name[i] = i % 2 ? '.' : 'x';
    long_name[255] = '\0';
    for (size_t i = 0; i < LEN(hosts); i++) {
        struct told t = resolve(f, hosts[i]);
        assert_int_equal(t.result, RESOLVE_NOT_FOUND);
        assert_int_equal(t.n, 0);
    }
    assert_int_equal(f->dns.asked, 0);
}

/* The first name in /etc/hosts that is not of the kind above. */
static bool hosts_name(char *name, size_t cap)
{
    FILE *file = fopen("/etc/hosts", "re");
    char line[512], ip[64], host[256];
    bool found = false;

    while (file && !found && fgets(line, sizeof(line), file))
        if (line[0] != '#' && sscanf(line, "%63s %255s", ip, host) == 2 &&
            strchr(ip, '.') && !strstr(host, "localhost")) {
            snprintf(name, cap, "%s", host);
            found = true;
        }
    if (file)
        fclose(file);
    return found;
}

static void hosts_file(void **state)
{
    struct fixture *f = *state;
    char name[256];

    if (!hosts_name(name, sizeof(name)))
        skip();
    struct told t = resolve(f, name);
    assert_int_equal(t.result, RESOLVED);
    assert_int_equal(f->dns.asked, 0);
}

/* ---- answers
 * ------------------------------------------------------------------------ */

static void answers(void **state)
{
    static const struct {
        const char *host;
        enum resolved result;
        const char *want;
    } cases[] = {
        {"both.test", RESOLVED,
         "2001:db8::1#80 192.0.2.1#80 2001:db8::2#80 192.0.2.2#80 "
         "192.0.2.3#80"},
        {"v4.test", RESOLVED, "192.0.2.4#80"},
        {"v6.test", RESOLVED, "2001:db8::6#80"},
        {"v6.test.", RESOLVED, "2001:db8::6#80"},
        {"empty.test", RESOLVE_NOT_FOUND, ""},
        {"gone.test", RESOLVE_NOT_FOUND, ""},
        {"unknown.test", RESOLVE_NOT_FOUND, ""},
        {"broken.test", RESOLVE_FAILED, ""},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s\n", cases[i].host);
        struct told t = resolve(f, cases[i].host);
        assert_int_equal(t.result, cases[i].result);
        assert_string_equal(t.text, cases[i].want);
    }
    assert_int_equal(resolve(f, "many.test").n, RESOLVER_ADDRS_MAX);
}

static void nobody_there(void **state)
{
    struct fixture *f = *state;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    char servers[32];

    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    close(fd); /* a port where nobody listens */
    snprintf(servers, sizeof(servers), "127.0.0.1:%d", ntohs(sa.sin_port));
    resolver_free(f->resolver);
    f->resolver = resolver_new(&f->loop, servers);
    assert_non_null(f->resolver);
    assert_int_equal(resolve(f, "v4.test").result, RESOLVE_FAILED);
}

/* ---- the cache
 * ----------------------------------------------------------------------- */

static void cached_for_the_ttl(void **state)
{
    static const char *const short_lived[] = {"one-ttl.test", "zero-ttl.test",
                                              "gone.test", "broken.test"};
    struct fixture *f = *state;

    resolve(f, "both.test");
    assert_int_equal(asked("both.test"), 2); /* A and AAAA */
    for (size_t i = 0; i < LEN(short_lived); i++)
        resolve(f, short_lived[i]);
    unsigned before = f->dns.asked;
    struct told t = resolve(f, "Both.TEST");
    assert_int_equal(t.n, 5);
    for (size_t i = 0; i < LEN(short_lived); i++)
        resolve(f, short_lived[i]);
    assert_int_equal(f->dns.asked, before);

    pass(f, 1.1);
    for (size_t i = 0; i < LEN(short_lived); i++) {
        unsigned once = asked(short_lived[i]);
        resolve(f, short_lived[i]);
        assert_int_equal(asked(short_lived[i]), 2 * once);
    }
    resolve(f, "both.test");
    assert_int_equal(asked("both.test"), 2);
}

static void cache_is_bounded(void **state)
{
    enum { NAMES = 1100, BATCH = 20 };
    struct fixture *f = *state;
    char name[32];

    for (int i = 0; i < NAMES; i += BATCH) {
        struct told t[BATCH];
        for (int j = 0; j < BATCH; j++) {
            t[j].f = f;
            snprintf(name, sizeof(name), "n%d.many.test", i + j);
            ask(&t[j], name);
        }
        for (int j = 0; j < BATCH; j++) {
            wait_for(f, &t[j], 10);
            assert_int_equal(t[j].result, RESOLVED);
        }
        resolve(f, "n0.many.test"); /* used, so it stays */
    }
    unsigned before = asked("*.many.test");
    resolve(f, "n0.many.test");
    resolve(f, "n1099.many.test");
    resolve(f, "n200.many.test");
    assert_int_equal(asked("*.many.test"), before);
    resolve(f, "n1.many.test");
    assert_int_equal(asked("*.many.test"), before + 2);
}

static void asked_once_for_all(void **state)
{
    struct fixture *f = *state;
    struct told t[5];

    for (size_t i = 0; i < LEN(t); i++) {
        t[i].f = f;
        ask(&t[i], i % 2 ? "both.test" : "BOTH.test");
    }
    for (size_t i = 0; i < LEN(t); i++) {
        wait_for(f, &t[i], 10);
        assert_int_equal(t[i].n, 5);
    }
    assert_int_equal(asked("both.test"), 2);
}

/* ---- cancelling
 * ------------------------------------------------------------------------ */

static void cancelled(void **state)
{
    static const char *const hosts[] = {"both.test", "192.0.2.9", "both.test"};
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(hosts); i++) { /* asked, literal, cached */
        struct told t = {.f = f};
        struct resolver_query *q =
            resolver_ask(f->resolver, hosts[i], 80, on_told, &t);
        assert_non_null(q);
        resolver_cancel(q);
        resolve(f, "v4.test");
        pass(f, 0.05);
        assert_false(t.done);
    }
    assert_int_equal(asked("both.test"), 2); /* the cache has the answer */
    resolver_cancel(NULL);
}

static void cancelled_in_a_callback(void **state)
{
    struct fixture *f = *state;
    struct told first = {.f = f}, second = {.f = f}, third = {.f = f};

    ask(&first, "192.0.2.1");
    first.query = resolver_ask(f->resolver, "192.0.2.2", 80, on_told, &second);
    ask(&third, "192.0.2.3");
    wait_for(f, &third, 10);
    assert_true(first.done && third.done);
    pass(f, 0.05);
    assert_false(second.done);

    /* The same while both wait for one name. */
    ask(&first, "both.test");
    first.query = resolver_ask(f->resolver, "both.test", 80, on_told, &second);
    wait_for(f, &first, 10);
    pass(f, 0.05);
    assert_true(first.done);
    assert_false(second.done);
}

static void asked_in_a_callback(void **state)
{
    struct fixture *f = *state;
    struct told first = {.f = f}, second = {.f = f}, third = {.f = f};

    ask(&first, "both.test");
    first.asks = &second;
    first.host = "both.test";
    wait_for(f, &second, 10);
    assert_int_equal(second.n, 5);
    ask(&first, "192.0.2.1");
    first.asks = &third;
    first.host = "v4.test";
    wait_for(f, &third, 10);
    assert_int_equal(third.n, 1);
}

static void freed_while_asking(void **state)
{
    struct fixture *f = *state;
    struct told t[3] = {{.f = f}, {.f = f}, {.f = f}};

    ask(&t[0], "silent.test");
    ask(&t[1], "192.0.2.1");
    ask(&t[2], "both.test");
    resolver_free(f->resolver);
    f->resolver = resolver_new(&f->loop, f->dns.servers);
    pass(f, 0.1);
    for (size_t i = 0; i < LEN(t); i++)
        assert_false(t[i].done);
}

/* ---- trouble
 * ---------------------------------------------------------------------------
 */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A silent server for one name delays no other, and the wait ends. */
static void silence(void **state)
{
    struct fixture *f = *state;
    struct told silent = {.f = f};
    double began = now();

    ask(&silent, "silent.test");
    assert_int_equal(resolve(f, "both.test").n, 5);
    assert_true(now() - began < 1);
    assert_false(silent.done);
    wait_for(f, &silent, 10);
    assert_int_equal(silent.result, RESOLVE_FAILED);
    assert_true(now() - began > 1 && now() - began < 6);
    assert_true(asked("silent.test") > 2); /* tried again */
}

static void write_conf(const char *path, const char *server)
{
    static int turn = 1000;
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    fprintf(file, "nameserver %s\n", server);
    fclose(file);
    /* The clock of the file system may be coarse. */
    struct timespec times[2] = {{.tv_sec = turn}, {.tv_sec = turn}};
    turn++;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* The file has no room for ports, so the servers need port 53. */
static void changed_configuration(void **state)
{
    struct fixture *f = *state;
    struct dns_record before[] = {
        {.name = "name.test", .addresses = "192.0.2.1", .ttl = 0}, {0}};
    struct dns_record after[] = {
        {.name = "name.test", .addresses = "192.0.2.2", .ttl = 0}, {0}};
    struct fake_dns old, new;
    char path[] = "/tmp/gangway-resolv-XXXXXX";

    if (!dns_start_at(&old, before, "127.77.0.1", 53))
        skip();
    assert_true(dns_start_at(&new, after, "127.77.0.2", 53));
    int fd = mkstemp(path);
    assert_int_not_equal(fd, -1);
    close(fd);
    write_conf(path, "127.77.0.1");
    resolver_free(f->resolver);
    f->resolver = resolver_new(&f->loop, path);
    assert_non_null(f->resolver);
    assert_string_equal(resolve(f, "name.test").text, "192.0.2.1#80");

    write_conf(path, "127.77.0.2");
    pass(f, 1.1); /* out of the cache */
    assert_string_equal(resolve(f, "name.test").text, "192.0.2.2#80");
    dns_stop(&old);
    dns_stop(&new);
    unlink(path);
}

/* ---- threads
 * ----------------------------------------------------------------------------
 */

static void *one_worker(void *arg)
{
    struct fixture *main_f = arg, f = {.over = false};
    char host[32];

    if (loop_init(&f.loop, 4096) != 0)
        return NULL;
    f.resolver = resolver_new(&f.loop, main_f->dns.servers);
    size_t good = 0;
    for (int i = 0; f.resolver && i < 50; i++) {
        struct told t = {.f = &f};
        snprintf(host, sizeof(host), "w%d.many.test", i);
        if (!resolver_ask(f.resolver, host, 80, on_told, &t))
            break;
        wait_for(&f, &t, 10);
        good += t.done && t.n == 1;
    }
    resolver_free(f.resolver);
    loop_fini(&f.loop);
    return good == 50 ? arg : NULL;
}

static void many_workers(void **state)
{
    pthread_t threads[4];

    for (size_t i = 0; i < LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, one_worker, *state),
                         0);
    for (size_t i = 0; i < LEN(threads); i++) {
        void *ok;
        pthread_join(threads[i], &ok);
        assert_non_null(ok);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(literals),
        TEST(localhost),
        TEST(impossible_names),
        TEST(hosts_file),
        TEST(answers),
        TEST(nobody_there),
        TEST(cached_for_the_ttl),
        TEST(cache_is_bounded),
        TEST(asked_once_for_all),
        TEST(cancelled),
        TEST(cancelled_in_a_callback),
        TEST(asked_in_a_callback),
        TEST(freed_while_asking),
        TEST(silence),
        TEST(changed_configuration),
        TEST(many_workers),
    };
    return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
