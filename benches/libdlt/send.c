/* Sends messages with C libdlt: for each line of standard input, a number, so
 * many messages. Answers with the nanoseconds that took and the number of
 * calls that did not return DLT_RETURN_OK, on a line that begins with "took":
 * libdlt prints lines of its own. */
#include <dlt/dlt.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

DLT_DECLARE_CONTEXT(context)

static uint64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

int main(int argc, char **argv) {
    uint64_t count;
    if (argc != 2) return 2;
    dlt_register_app("LIBC", "");
    dlt_register_context(&context, "RING", "");
    while (scanf("%" SCNu64, &count) == 1) {
        uint64_t failed = 0, begin = now();
        for (uint64_t number = 0; number < count; number++) {
            DltContextData log;
            if (dlt_user_log_write_start(&context, &log, DLT_LOG_INFO) <= 0) {
                failed++;
                continue;
            }
            dlt_user_log_write_string(&log, argv[1]);
            if (dlt_user_log_write_finish(&log) != DLT_RETURN_OK) failed++;
        }
        printf("took %" PRIu64 " %" PRIu64 "\n", now() - begin, failed);
        fflush(stdout);
    }
    dlt_unregister_context(&context);
    dlt_unregister_app();
    return 0;
}
