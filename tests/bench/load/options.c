/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - one table has every flag: what it takes, its range, where it
 * goes, its help. */
#include "options.h"
#include "load.h"
#include "mode.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MQTT_BYTES_MAX = 256 << 20 };

enum kind {
    KIND_FLAG,    /* bool */
    KIND_NUMBER,  /* uint64_t */
    KIND_SIZE,    /* uint64_t, with k or m behind it */
    KIND_SECONDS, /* double */
    KIND_TEXT,    /* const char * */
    KIND_TEXTS,
    KIND_HEX,    /* struct bytes */
    KIND_FRAMES, /* hex, repeatable */
    KIND_TARGET,
};

struct flag {
    const char *name;
    enum kind kind;
    size_t at; /* in struct options */
    double min, max;
    const char *help;
};

#define AT(member) offsetof(struct options, member)

static const struct flag flags[] = {
    {"url", KIND_TARGET, AT(gateway), 0, 0,
     "the gateway: ws://127.0.0.1:PORT/PATH, wss://, tcp://, tls://"},
    {"backend", KIND_NUMBER, AT(backend), 0, UINT16_MAX,
     "port of the TCP service that this program is; 0: none"},
    {"pid", KIND_NUMBER, AT(pid), 0, INT32_MAX,
     "process of the gateway, whose costs are measured"},
    {"sessions", KIND_NUMBER, AT(sessions), 1, 100000, "how many (1)"},
    {"size", KIND_SIZE, AT(size), 1, 64 << 20, "bytes of a message (64)"},
    {"window", KIND_NUMBER, AT(window), 1, 65536,
     "messages in flight in a session (1)"},
    {"seconds", KIND_SECONDS, AT(seconds), 0.01, 600, "to measure (2)"},
    {"warmup", KIND_SECONDS, AT(warmup), 0, 60, "before that (0.5)"},
    {"settle", KIND_SECONDS, AT(settle), 0, 120,
     "idle: before memory is read (1)"},
    {"subprotocol", KIND_TEXT, AT(subprotocol), 0, 0, "to ask for"},
    {"header", KIND_TEXTS, AT(headers), 0, 0,
     "'Name: value' of the request; repeatable"},
    {"text", KIND_FLAG, AT(text), 0, 0, "text frames; else binary"},
    {"resume", KIND_FLAG, AT(resume), 0, 0, "connect: resume TLS sessions"},
    {"mqtt", KIND_FLAG, AT(mqtt), 0, 0, "up, down: MQTT packets"},
    {"topics", KIND_NUMBER, AT(topics), 1, 1000, "alternating in them (1)"},
    {"first", KIND_FRAMES, AT(first), 0, 0,
     "fanout: HEX frame that a subscriber begins with; repeatable"},
    {"ready", KIND_NUMBER, AT(ready), 0, 1000,
     "fanout: frames that it must then get back (0)"},
    {"packets", KIND_FLAG, AT(packets), 0, 0,
     "fanout: count PUBLISH packets, whatever the frames"},
    {"message", KIND_HEX, AT(message), 0, 0,
     "fanout: HEX frame that is published"},
    {"publisher-url", KIND_TARGET, AT(publisher), 0, 0,
     "fanout: where the publisher connects (--url)"},
    {"publisher-subprotocol", KIND_TEXT, AT(publisher_subprotocol), 0, 0,
     "fanout: that it asks for (--subprotocol)"},
    {"publisher-first", KIND_FRAMES, AT(publisher_first), 0, 0,
     "fanout: HEX frame that it begins with; repeatable"},
    {"label", KIND_TEXT, AT(label), 0, 0, "echoed in the result"},
};

static const char *const takes[] = {
    [KIND_FLAG] = "",           [KIND_NUMBER] = "N",
    [KIND_SIZE] = "BYTES[k|m]", [KIND_SECONDS] = "SECONDS",
    [KIND_TEXT] = "TEXT",       [KIND_TEXTS] = "TEXT",
    [KIND_HEX] = "HEX",         [KIND_FRAMES] = "HEX",
    [KIND_TARGET] = "URL",
};

static _Noreturn void PRINTF_LIKE(1, 2) refuse(const char *fmt, ...)
{
    va_list ap;

    fputs("load: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputs("; load --help lists the flags\n", stderr);
    exit(EXIT_USAGE);
}

static _Noreturn void help(void)
{
    puts("Usage: load MODE [--FLAG VALUE]...\n"
         "Loads a gateway on this machine, verifies every byte, and prints\n"
         "what it cost as a line of JSON. Exit code 0: nothing was lost,\n"
         "corrupted or refused; 1: something was; 2: wrong usage.\n");
    for (const struct mode *m = modes; m->name; m++)
        printf("  %-9s%s\n", m->name, m->help);
    puts("");
    for (size_t i = 0; i < LEN(flags); i++) {
        char left[48];
        snprintf(left, sizeof left, "--%s %s", flags[i].name,
                 takes[flags[i].kind]);
        printf("  %-30s%s\n", left, flags[i].help);
    }
    exit(EXIT_SUCCESS);
}

/* ---- values ---------------------------------------------------------------*/

static double number(const struct flag *f, const char *text)
{
    char *end;
    double v = strtod(text, &end);

    if (f->kind == KIND_SIZE && (*end == 'k' || *end == 'm'))
        v *= *end++ == 'k' ? 1024 : 1 << 20;
    if (end == text || *end || !(v >= f->min && v <= f->max) ||
        (f->kind != KIND_SECONDS && v != (double)(uint64_t)v))
        refuse("--%s %s: from %g to %g, please", f->name, text, f->min, f->max);
    return v;
}

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c | ('a' - 'A')) : NULL;
    return at ? (int)(at - digits) : -1;
}

static struct bytes hex(const struct flag *f, const char *text)
{
    size_t n = strlen(text);
    struct bytes b = {need(n / 2, 1), n / 2};

    for (size_t i = 0; i < b.n; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            refuse("--%s %s: pairs of hexadecimal digits, please", f->name,
                   text);
        b.p[i] = (uint8_t)(high << 4 | low);
    }
    if (n == 0 || n % 2 != 0)
        refuse("--%s %s: pairs of hexadecimal digits, please", f->name, text);
    return b;
}

static void set(struct options *o, const struct flag *f, const char *value)
{
    void *at = (char *)o + f->at;
    struct texts *texts = at;
    struct frames *frames = at;
    const char *wrong;

    switch (f->kind) {
    case KIND_FLAG:
        *(bool *)at = true;
        break;
    case KIND_NUMBER:
    case KIND_SIZE:
        *(uint64_t *)at = (uint64_t)number(f, value);
        break;
    case KIND_SECONDS:
        *(double *)at = number(f, value);
        break;
    case KIND_TEXT:
        *(const char **)at = value;
        break;
    case KIND_HEX:
        *(struct bytes *)at = hex(f, value);
        break;
    case KIND_TEXTS:
        if (texts->n == LIST_MAX)
            refuse("--%s: %d of them at most", f->name, LIST_MAX);
        texts->list[texts->n++] = value;
        break;
    case KIND_FRAMES:
        if (frames->n == LIST_MAX)
            refuse("--%s: %d of them at most", f->name, LIST_MAX);
        frames->list[frames->n++] = hex(f, value);
        break;
    case KIND_TARGET:
        wrong = target_parse(at, value);
        if (wrong)
            refuse("--%s %s: %s", f->name, value, wrong);
        break;
    }
}

/* ---- the whole ------------------------------------------------------------*/

static const struct flag *flag_named(const char *text)
{
    for (size_t i = 0; i < LEN(flags); i++)
        if (strncmp(text, "--", 2) == 0 && strcmp(text + 2, flags[i].name) == 0)
            return &flags[i];
    refuse("%s: no such flag", text);
}

static void check(const struct options *o)
{
    const struct mode *m = modes;

    while (m->name && strcmp(m->name, o->mode) != 0)
        m++;
    if (!m->name)
        refuse("%s: no such mode", o->mode);
    if (o->gateway.address_len == 0)
        refuse("--url says where the gateway is");
    if (m->needs_backend && o->backend == 0)
        refuse("%s: --backend says where this program is the service", m->name);
    if (o->mqtt && !m->may_mqtt)
        refuse("%s: --mqtt is for up and down", m->name);
    if (o->mqtt && o->size * o->topics > MQTT_BYTES_MAX)
        refuse("--mqtt: --size times --topics is too much");
    if (m->needs_message && o->message.n == 0)
        refuse("%s: --message says what is published", m->name);
    if (m->needs_message && !o->gateway.websocket && !o->packets)
        refuse("%s: without WebSocket, only --packets can be told apart",
               m->name);
    if (o->resume && !o->gateway.tls)
        refuse("--resume is for TLS");
}

void options_parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){
        .sessions = 1,
        .size = 64,
        .window = 1,
        .seconds = 2,
        .warmup = 0.5,
        .settle = 1,
        .topics = 1,
    };
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            help();
    if (argc < 2 || argv[1][0] == '-')
        refuse("the first argument is a mode");
    o->mode = argv[1];
    for (int i = 2; i < argc; i++) {
        const struct flag *f = flag_named(argv[i]);
        if (f->kind != KIND_FLAG && i + 1 == argc)
            refuse("%s: its value is missing", argv[i]);
        set(o, f, f->kind == KIND_FLAG ? "" : argv[++i]);
    }
    if (o->publisher.address_len == 0)
        o->publisher = o->gateway;
    if (!o->publisher_subprotocol)
        o->publisher_subprotocol = o->subprotocol;
    check(o);
}
