/* What the runtime tells of itself, as lines of the log. */
#ifndef SKIMD_SERVER_WATCH_REPORT_H
#define SKIMD_SERVER_WATCH_REPORT_H

#include "core/async/runtime.h"

/* Hooks that log lost failures, lost workers, and callbacks that keep the event loop. */
struct async_hooks report_hooks(void);

/* Has callbacks that keep the loop logged from now on: starting takes its time. Any thread. */
void report_slow_callbacks(void);

/* Logs the tasks that are alive: how many of each kind where, and the oldest. Any thread. */
void report_tasks(void);

#endif
