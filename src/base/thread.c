/* SPDX-License-Identifier: MIT */
/* Threads and mutexes on pthreads. */
#include "base/thread.h"

#include <evbus/base.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include "base/platform.h"

/* With correct use none of these can fail (POSIX: a default mutex that is initialised and owned). The result
 * is looked at all the same, because a mutex that was freed or copied shows here first. */
static void thread_must(int err)
{
    evb__assert(err == 0);
    (void)err;
}

void evb__mutex_init(struct evb__mutex *mutex)
{
    /* The default kind, not the error-checking one: the fork handlers unlock in the child what the parent's
     * thread locked. */
    thread_must(pthread_mutex_init(&mutex->m, NULL));
}

void evb__mutex_destroy(struct evb__mutex *mutex)
{
    thread_must(pthread_mutex_destroy(&mutex->m));
}

void evb__mutex_lock(struct evb__mutex *mutex)
{
    thread_must(pthread_mutex_lock(&mutex->m));
}

bool evb__mutex_trylock(struct evb__mutex *mutex)
{
    return pthread_mutex_trylock(&mutex->m) == 0;
}

void evb__mutex_unlock(struct evb__mutex *mutex)
{
    thread_must(pthread_mutex_unlock(&mutex->m));
}

static void *thread_main(void *self)
{
    struct evb__thread *thread = self;

#if defined(__linux__)
    /* Set here and not by the creator: the name is there before the first line of main runs. */
    if (thread->name[0] != '\0') (void)pthread_setname_np(pthread_self(), thread->name);
#endif
    thread->main(thread->arg);
    return NULL;
}

/* Everything but what a fault in the thread itself raises: blocking those would turn the application's crash
 * report into a silent kill. */
static void thread_blocked_signals(sigset_t *set)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

    (void)sigfillset(set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        (void)sigdelset(set, faults[i]);
}

int32_t evb__thread_create(struct evb__thread *thread, void (*main)(void *arg), void *arg, const char *name,
                           size_t stack_bytes)
{
    pthread_attr_t attr;
    sigset_t blocked, before;
    int err;

    if (pthread_attr_init(&attr) != 0) return EVB_EAGAIN;
    err = stack_bytes != 0 ? pthread_attr_setstacksize(&attr, stack_bytes) : 0;
    if (err != 0) goto out;

    thread->main = main;
    thread->arg = arg;
    thread->name[0] = '\0';
    if (name != NULL) {
        size_t size = strnlen(name, sizeof thread->name - 1);

        memcpy(thread->name, name, size);
        thread->name[size] = '\0';
    }
    /* A new thread starts with its creator's mask: set it around the call, or a signal could arrive in the
     * new thread before its first line. */
    thread_blocked_signals(&blocked);
    thread_must(pthread_sigmask(SIG_SETMASK, &blocked, &before));
    err = pthread_create(&thread->t, &attr, thread_main, thread);
    thread_must(pthread_sigmask(SIG_SETMASK, &before, NULL));
out:
    (void)pthread_attr_destroy(&attr);
    if (err == 0) return EVB_OK;
    return err == EINVAL ? EVB_EINVAL : EVB_EAGAIN;
}

void evb__thread_join(struct evb__thread *thread)
{
    thread_must(pthread_join(thread->t, NULL));
}

void evb__thread_detach(struct evb__thread *thread)
{
    thread_must(pthread_detach(thread->t));
}

void evb__thread_yield(void)
{
    (void)sched_yield();
}
