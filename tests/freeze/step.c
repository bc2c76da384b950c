/* SPDX-License-Identifier: MIT */
/* Single steps by the trap flag. */
#include "step.h"

#if STEP_THERE

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#define TRAP_FLAG 0x100

/* The victim's, read by others only after a byte has come through a pipe. */
static uint64_t count, stop_before;
static bool frozen_once;
/* Pipes, because read and write are allowed in a signal handler: from the victim, and to it. */
static int from_victim[2], to_victim[2];

static void say(int fd, char byte)
{
    while (write(fd, &byte, 1) != 1)
        ;
}

static char hear(int fd)
{
    char byte;

    while (read(fd, &byte, 1) != 1)
        ;
    return byte;
}

static void on_trap(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    if (++count != stop_before) return;
    frozen_once = true;
    say(from_victim[1], 'f');
    (void)hear(to_victim[0]);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

/* The compiler may keep values in the 128 bytes below the stack pointer: the flags go below those. */
#define WITH_FLAGS(instruction)                                                                              \
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\t"                                                            \
                     "pushfq\n\t" instruction "\n\t"                                                         \
                     "popfq\n\t"                                                                             \
                     "lea 128(%%rsp), %%rsp"                                                                 \
                     :                                                                                       \
                     :                                                                                       \
                     : "memory", "cc")

uint64_t step_run(uint64_t before, void (*fn)(void *arg), void *arg)
{
    count = 0;
    frozen_once = false;
    stop_before = before;
    WITH_FLAGS("orq $0x100, (%%rsp)");
    fn(arg);
    WITH_FLAGS("andq $-0x101, (%%rsp)");
    say(from_victim[1], 'e');
    return frozen_once ? 0 : count;
}

bool step_wait_frozen(void)
{
    return hear(from_victim[0]) == 'f';
}

void step_thaw(void)
{
    say(to_victim[1], 't');
}

static void nothing(void *arg)
{
    (void)arg;
}

uint64_t step_overhead(void)
{
    uint64_t n = step_run(0, nothing, NULL);

    (void)step_wait_frozen();
    return n;
}

bool step_begin(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    (void)sigemptyset(&action.sa_mask);
    if (sigaction(SIGTRAP, &action, NULL) != 0 || pipe(from_victim) != 0 || pipe(to_victim) != 0) abort();
    /* a call and a return at least, and the same number each time */
    return step_overhead() >= 4 && step_overhead() == step_overhead();
}

#else

bool step_begin(void)
{
    return false;
}

#endif
