/* The unified future layer; README.md beside this file teaches it. */
#ifndef SKIMD_ASYNC_ASYNC_H
#define SKIMD_ASYNC_ASYNC_H

#include "core/async/channel.h"
#include "core/async/combine.h"
#include "core/async/context.h"
#include "core/async/debug.h"
#include "core/async/future.h"
#include "core/async/map.h"
#include "core/async/runtime.h"
#include "core/async/scope.h"
#include "core/async/task.h"
#include "core/base/clock.h"

#endif
