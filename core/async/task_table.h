/* The table of all task definitions of the program: a linker section that TASK() writes to. */
#ifndef SKIMD_ASYNC_TASK_TABLE_H
#define SKIMD_ASYNC_TASK_TABLE_H

#include "core/async/task.h"

#include <stdint.h>

/* The linker's names for the section's ends; a program that declares no task has no section. */
extern const struct task_def *const __start_async_tasks[]
    __attribute__((weak, visibility("hidden")));
extern const struct task_def *const __stop_async_tasks[]
    __attribute__((weak, visibility("hidden")));

static inline uint32_t task_table_size(void)
{
    return (uint32_t)(__stop_async_tasks - __start_async_tasks);
}

/* NULL when there is no such index. */
static inline const struct task_def *task_table_get(uint32_t index)
{
    return index < task_table_size() ? __start_async_tasks[index] : NULL;
}

/* The index of `def`, or task_table_size() when it is not in the table. */
static inline uint32_t task_table_index(const struct task_def *def)
{
    uint32_t i = 0;

    while (i < task_table_size() && __start_async_tasks[i] != def)
        i++;
    return i;
}

#endif
