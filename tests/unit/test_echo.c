/* SPDX-License-Identifier: Apache-2.0 */
/* Every message comes back: type, boundaries and all. */
#include "fake_host.h"

extern const struct gw_bridge bridge_echo;

static void *route, *state;

static void open_echo(void)
{
    enum gw_take take = GW_STREAM;
    char err[256];

    fake_begin();
    route = fake_route(&bridge_echo, "echo", "", "", err, sizeof err);
    assert_non_null(route);
    state = bridge_echo.open(&fake_session, route,
                             &(struct gw_request){.address = ""}, &take);
    assert_non_null(state);
    assert_int_equal(take, GW_SLICES);
    assert_int_equal(fake_session.accepts, 1);
}

static void close_echo(void)
{
    bridge_echo.close(state);
    bridge_echo.route_close(&fake_host, route);
}

static void say(enum gw_type type, const char *text, bool first, bool last)
{
    uint8_t *copy = copy_of(text, strlen(text));
    bridge_echo.data(state,
                     &(struct gw_data){copy, strlen(text), type, first, last});
    free(copy);
}

static void takes_no_address(void **unused)
{
    char err[256] = "";
    (void)unused;

    fake_begin();
    assert_null(fake_route(&bridge_echo, "echo", "x", "", err, sizeof err));
    assert_non_null(strstr(err, "takes no address"));
}

static void messages_come_back(void **unused)
{
    (void)unused;

    open_echo();
    say(GW_TEXT, "whole", true, true);
    say(GW_BINARY, "", true, true);
    say(GW_TEXT, "in ", true, false);
    say(GW_TEXT, "pie", false, false);
    say(GW_TEXT, "ces", false, true);
    say(GW_BINARY, "cut", true, false);
    say(GW_BINARY, "", false, true);
    static const struct {
        enum gw_type type;
        const char *text;
    } want[] = {{GW_TEXT, "whole"},
                {GW_BINARY, ""},
                {GW_TEXT, "in pieces"},
                {GW_BINARY, "cut"}};
    assert_int_equal(fake_session.n_messages, LEN(want));
    for (size_t i = 0; i < LEN(want); i++) {
        assert_int_equal(fake_session.messages[i].type, want[i].type);
        assert_string_equal(fake_message(i), want[i].text);
    }
    assert_false(fake_session.within);
    close_echo();
}

static void a_client_that_does_not_read_is_not_read(void **unused)
{
    (void)unused;

    open_echo();
    fake_session.answer = GW_FULL;
    say(GW_TEXT, "a", true, true);
    assert_int_equal(fake_session.pauses, 1);
    fake_session.answer = GW_SENT;
    bridge_echo.drained(state);
    assert_int_equal(fake_session.resumes, 1);
    say(GW_TEXT, "b", true, true);
    assert_int_equal(fake_session.pauses, 1);
    close_echo();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_no_address),
        cmocka_unit_test(messages_come_back),
        cmocka_unit_test(a_client_that_does_not_read_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
