/* A worker's side of one call: messages that are in order, odd, or hostile. No process is started.
 */
#include "core/async/task_table.h"
#include "core/async/worker.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/worker_orders.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct worker_reply reply;
static char memory[4096];

static int never_step(task *t, void *frame)
{
    (void)t;
    (void)frame;
    ck_abort_msg("a task of the loop was run in a worker");
    return TASK_FINISHED;
}

TASK(never_task, ON_LOOP, 0, .step = never_step);

static void setup(void)
{
    struct order order = {ECHO, 0};

    thread_role = ROLE_WORKER;
    memcpy(memory, &order, sizeof order);
    memset(memory + sizeof order, 'x', sizeof memory - sizeof order);
}

static void teardown(void)
{
    thread_role = ROLE_PLAIN;
}

static struct wire_call call_of(const struct task_def *def, uint64_t length)
{
    return (struct wire_call){
        .id = 42, .deadline_ns = CLOCK_NEVER, .length = length, .task = task_table_index(def)};
}

/* With `more` behind the call, from memory of exactly that size, so that ASan sees a read past it.
 */
static size_t answer_with(struct wire_call call, struct bytes more)
{
    size_t len = sizeof call + more.len;
    char *message = malloc(len);

    ck_assert_ptr_nonnull(message);
    memcpy(message, &call, sizeof call);
    if (more.len > 0)
        memcpy(message + sizeof call, more.ptr, more.len);
    size_t n = worker_answer(bytes_of(message, len), bytes_of(memory, sizeof memory), &reply);
    free(message);
    return n;
}

static size_t answer(struct wire_call call)
{
    return answer_with(call, (struct bytes){0});
}

static void expect_error(size_t length, int error)
{
    ck_assert_uint_eq(length, sizeof reply.head);
    ck_assert_uint_eq(reply.head.id, 42);
    ck_assert_int_eq(reply.head.error, error);
}

START_TEST(a_call_is_answered_from_the_memory)
{
    uint64_t sum;

    ck_assert_uint_eq(answer(call_of(plain_order, 100)), sizeof reply.head + sizeof sum);
    ck_assert_uint_eq(reply.head.id, 42);
    ck_assert_int_eq(reply.head.error, 0);
    memcpy(&sum, reply.body, sizeof sum);
    ck_assert_uint_eq(sum, checksum(memory + 8, 92));
    ck_assert_uint_eq(answer(call_of(plain_order, sizeof memory)), sizeof reply.head + sizeof sum);
}
END_TEST

START_TEST(a_message_of_the_wrong_length_ends_the_worker)
{
    struct wire_call call = call_of(plain_order, 100);
    static char long_message[WIRE_CALL_MAX + 1];

    for (size_t n = 0; n < sizeof call; n++) {
        char *cut = malloc(n ? n : 1);
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, &call, n);
        ck_assert_uint_eq(worker_answer(bytes_of(cut, n), bytes_of(memory, sizeof memory), &reply),
                          0);
        free(cut);
    }
    memcpy(long_message, &call, sizeof call);
    ck_assert_uint_eq(worker_answer(bytes_of(long_message, sizeof long_message),
                                    bytes_of(memory, sizeof memory), &reply),
                      0);
}
END_TEST

START_TEST(a_task_that_workers_do_not_serve_is_an_error)
{
    struct wire_call unknown = call_of(plain_order, 8);

    expect_error(answer(call_of(&never_task, 8)), -EINVAL);
    unknown.task = task_table_size();
    expect_error(answer(unknown), -EINVAL);
    unknown.task = UINT32_MAX;
    expect_error(answer(unknown), -EINVAL);
}
END_TEST

START_TEST(a_length_beyond_the_memory_is_an_error)
{
    expect_error(answer(call_of(plain_order, sizeof memory + 1)), -EINVAL);
    expect_error(answer(call_of(plain_order, UINT64_MAX)), -EINVAL);
    expect_error(answer(call_of(empty_order, (uint64_t)INT64_MAX + 1)), -EINVAL);
}
END_TEST

START_TEST(a_malformed_context_is_an_error_and_is_not_seen)
{
    struct order order = {TELL_CONTEXT, 0};
    uint64_t sum;

    memcpy(memory, &order, sizeof order);
    expect_error(answer_with(call_of(plain_order, sizeof order), BYTES("?")), -EBADMSG);
    expect_error(
        answer_with(call_of(plain_order, sizeof order), BYTES("\xff\xff\xff\xff\xff\xff\xff\xff")),
        -EBADMSG);
    answer(call_of(plain_order, sizeof order));
    memcpy(&sum, reply.body, sizeof sum);
    ck_assert_uint_eq(sum, checksum("", 0));
}
END_TEST

START_TEST(a_context_lasts_for_its_call)
{
    struct order order = {TELL_CONTEXT, 0};
    char packed[CONTEXT_WIRE_MAX];
    uint64_t sum;

    thread_role = ROLE_PLAIN;
    ck_assert_int_eq(context_set(order_context, BYTES("b-42")), 0);
    size_t len = context_pack(context_here(), packed);
    ck_assert_int_eq(context_set(order_context, BYTES("")), 0);
    thread_role = ROLE_WORKER;
    memcpy(memory, &order, sizeof order);
    answer_with(call_of(plain_order, sizeof order), bytes_of(packed, len));
    memcpy(&sum, reply.body, sizeof sum);
    ck_assert_uint_eq(sum, checksum("b-42", 4));
    answer(call_of(plain_order, sizeof order));
    memcpy(&sum, reply.body, sizeof sum);
    ck_assert_uint_eq(sum, checksum("", 0));
}
END_TEST

START_TEST(an_error_or_a_boast_of_serve_is_passed_on_as_an_error)
{
    struct order order = {GIVE_ERROR, -EILSEQ};

    memcpy(memory, &order, sizeof order);
    expect_error(answer(call_of(plain_order, sizeof order)), -EILSEQ);
    order = (struct order){CLAIM_MORE, 0};
    memcpy(memory, &order, sizeof order);
    expect_error(answer(call_of(plain_order, sizeof order)), -EMSGSIZE);
}
END_TEST

/* -- a program that does not ask --------------------------------------------------------------- */

/* These tests as a program that was spawned as a worker, and whose main() does not see that. */
START_TEST(a_program_that_does_not_know_that_it_is_a_worker_does_not_multiply)
{
    char name[] = WORKER_NAME, flag[] = WORKER_FLAG, suite[] = "CK_RUN_SUITE=runtime";
    char fork[] = "CK_FORK=no", said[256] = "";
    char *argv[] = {name, flag, NULL}, *environment[] = {suite, fork, NULL};
    posix_spawn_file_actions_t actions;
    int out[2], status;
    size_t n = 0;
    pid_t pid;

    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO);
    ck_assert_int_eq(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environment), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    for (ssize_t more = 1; more > 0; n += more > 0 ? (size_t)more : 0)
        more = read(out[0], said + n, sizeof said - 1 - n);
    close(out[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, EXIT_FAILURE << 8);
    ck_assert_ptr_nonnull(strstr(said, "must begin its main()"));
}
END_TEST

Suite *suite_worker(void)
{
    Suite *suite = suite_create("worker");
    TCase *messages = tcase_create("messages"), *programs = tcase_create("programs");

    tcase_add_checked_fixture(messages, setup, teardown);
    suite_add_tcase(suite, messages);
    tcase_add_test(messages, a_call_is_answered_from_the_memory);
    tcase_add_test(messages, a_message_of_the_wrong_length_ends_the_worker);
    tcase_add_test(messages, a_task_that_workers_do_not_serve_is_an_error);
    tcase_add_test(messages, a_length_beyond_the_memory_is_an_error);
    tcase_add_test(messages, a_malformed_context_is_an_error_and_is_not_seen);
    tcase_add_test(messages, a_context_lasts_for_its_call);
    tcase_add_test(messages, an_error_or_a_boast_of_serve_is_passed_on_as_an_error);
    tcase_add_test(programs, a_program_that_does_not_know_that_it_is_a_worker_does_not_multiply);
    suite_add_tcase(suite, programs);
    return suite;
}
