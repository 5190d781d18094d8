/* How malloc behaves in a program that holds many bodies for a short time. */
#ifndef SKIMD_BASE_HEAP_H
#define SKIMD_BASE_HEAP_H

/*
 * Sets it, for the whole process: call it in main(), before there are threads.
 *
 * Freed memory is kept, up to some 32 MiB: what goes back to the kernel between two bodies has to
 * be cleared by it again, which costs more than the fetch of a body of 100 KiB. What is larger than
 * 2 MiB goes back at once. Threads share one arena, or each would keep the memory of the largest
 * that it ever had in its own; and the first has the least to do for each of many thousand small
 * blocks.
 */
void heap_configure(void);

/*
 * Gives freed memory back, also what lies between blocks that are in use. Takes the longer the more
 * there is, about 0.1 ms for a MiB, and nobody else can allocate meanwhile. Any thread.
 */
void heap_trim(void);

#endif
