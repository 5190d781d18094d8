/*
 * The test-suite's shared head: Check, and the list of suites. Each suite lives in
 * tests/check_NAME.c and is made by suite_NAME().
 */
#ifndef SKIMD_TESTS_CHECK_H
#define SKIMD_TESTS_CHECK_H

#include <check.h>

#define SUITES(X)                                                                                  \
    X(base)                                                                                        \
    X(json_text)                                                                                   \
    X(rotation)                                                                                    \
    X(runtime)                                                                                     \
    X(future)                                                                                      \
    X(litmus)                                                                                      \
    X(task)                                                                                        \
    X(scope)                                                                                       \
    X(scope_policy)                                                                                \
    X(debug)                                                                                       \
    X(million)                                                                                     \
    X(mistakes)                                                                                    \
    X(channel)                                                                                     \
    X(map)                                                                                         \
    X(combine)                                                                                     \
    X(as_completed)                                                                                \
    X(context)                                                                                     \
    X(thread_pool)                                                                                 \
    X(mock)                                                                                        \
    X(races)                                                                                       \
    X(chaos)                                                                                       \
    X(process_pool)                                                                                \
    X(process_kill)                                                                                \
    X(process_loss)                                                                                \
    X(process_queue)                                                                               \
    X(quarantine)                                                                                  \
    X(worker)                                                                                      \
    X(sandbox)                                                                                     \
    X(resolve)                                                                                     \
    X(dial)                                                                                        \
    X(guard)                                                                                       \
    X(plan)                                                                                        \
    X(health)                                                                                      \
    X(schedule)                                                                                    \
    X(target)                                                                                      \
    X(robots)                                                                                      \
    X(header)                                                                                      \
    X(transfer)                                                                                    \
    X(tls)                                                                                         \
    X(fetch)                                                                                       \
    X(fetch_chaos)                                                                                 \
    X(decode)                                                                                      \
    X(label)                                                                                       \
    X(content_type)                                                                                \
    X(prescan)                                                                                     \
    X(convert)                                                                                     \
    X(charset)                                                                                     \
    X(conformance)                                                                                 \
    X(html)                                                                                        \
    X(head_scan)                                                                                   \
    X(fields)                                                                                      \
    X(url)                                                                                         \
    X(url_host)                                                                                    \
    X(title)                                                                                       \
    X(text)                                                                                        \
    X(prefix)                                                                                      \
    X(page)                                                                                        \
    X(page_charset)                                                                                \
    X(page_fields)                                                                                 \
    X(hostile)                                                                                     \
    X(config)                                                                                      \
    X(config_file)                                                                                 \
    X(metrics)                                                                                     \
    X(memory)                                                                                      \
    X(watch)                                                                                       \
    X(early)                                                                                       \
    X(options)                                                                                     \
    X(intake)                                                                                      \
    X(problem)                                                                                     \
    X(token)                                                                                       \
    X(access)                                                                                      \
    X(quota)                                                                                       \
    X(cors)                                                                                        \
    X(cross_origin)                                                                                \
    X(record)                                                                                      \
    X(http)                                                                                        \
    X(http_limits)                                                                                 \
    X(http_stream)                                                                                 \
    X(http_tls)                                                                                    \
    X(renewal)                                                                                     \
    X(sse)                                                                                         \
    X(origin)                                                                                      \
    X(scrape)                                                                                      \
    X(scrape_fields)                                                                               \
    X(web)                                                                                         \
    X(politeness)                                                                                  \
    X(web_page)                                                                                    \
    X(openapi)                                                                                     \
    X(service)

#define DECLARE_SUITE(name) Suite *suite_##name(void);
SUITES(DECLARE_SUITE)
#undef DECLARE_SUITE

#endif
