/* SPDX-License-Identifier: MIT */
/* A plugin's life: loads the library, uses it from two threads, unloads it, many times, while threads that
 * have emitted live on and end at any later time. usage: dl_cycle LIBRARY ROUNDS. Ends with 0 when nothing
 * was left behind.
 *
 * It knows the library only through dlopen; tests/install/dlopen.sh runs it, also with a library that does
 * leave things behind (dl_leaky.c). */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <evbus.h>

/* A thread that emitted while the library was loaded ends up to this many rounds after it was unloaded: then
 * another copy of it is loaded, perhaps at the same address and with the same key number. */
#define LINGER     4
#define MAX_ROUNDS 2000

struct library {
    void *handle;
    int32_t (*create)(const evb_bus_opts *opts, evb_bus **ret_bus);
    int64_t (*on)(evb_bus *bus, const char *pattern, evb_handler fn, void *user);
    int32_t (*emit)(evb_bus *bus, const char *topic, const void *data, size_t size);
    void (*destroy)(evb_bus *bus);
};

struct round {
    pthread_t thread;
    const struct library *library;
    evb_bus *bus;
    sem_t emitted, may_end;
    int32_t reached;
    int started;
};

static struct round rounds[MAX_ROUNDS];

static void die(const char *what, int round)
{
    fprintf(stderr, "dl_cycle: round %d: %s\n", round, what);
    exit(1);
}

/* dlsym answers a data pointer; POSIX wants it turned into a function pointer, ISO C has no cast for that. */
static int find(void *handle, const char *name, void *ret_function)
{
    void *symbol = dlsym(handle, name);

    memcpy(ret_function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static int load(const char *path, struct library *ret)
{
    ret->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (ret->handle == NULL) {
        fprintf(stderr, "dl_cycle: %s\n", dlerror());
        return 0;
    }
    return find(ret->handle, "evb_bus_create", &ret->create) && find(ret->handle, "evb_on", &ret->on) &&
           find(ret->handle, "evb_emit", &ret->emit) && find(ret->handle, "evb_bus_destroy", &ret->destroy);
}

static int32_t count_event(const evb_event *ev, void *user)
{
    (void)ev;
    ++*(int *)user; /* the emits of a round do not overlap */
    return EVB_OK;
}

static void *emit_and_linger(void *arg)
{
    struct round *round = arg;

    round->reached = round->library->emit(round->bus, "plugin.loaded", "x", 1);
    sem_post(&round->emitted);
    while (sem_wait(&round->may_end) != 0) {
    }
    return NULL; /* here the destructors of this thread's keys run */
}

static void run_round(const char *path, int i)
{
    static struct library library;
    struct round *round = &rounds[i];
    int events = 0;

    if (!load(path, &library)) die("does not load", i);
    round->library = &library;
    if (library.create(NULL, &round->bus) < 0) die("evb_bus_create failed", i);
    if (library.on(round->bus, "plugin.*", count_event, &events) <= 0) die("evb_on failed", i);
    if (library.emit(round->bus, "plugin.loaded", "x", 1) != 1)
        die("emit of the main thread did not reach", i);
    sem_init(&round->emitted, 0, 0);
    sem_init(&round->may_end, 0, 0);
    if (pthread_create(&round->thread, NULL, emit_and_linger, round) != 0) die("no thread", i);
    round->started = 1;
    while (sem_wait(&round->emitted) != 0) {
    }
    if (round->reached != 1 || events != 2) die("emit of the other thread did not reach", i);
    library.destroy(round->bus);
    if (dlclose(library.handle) != 0) die("dlclose failed", i);
    /* Were it still there, the test would not test what it says. */
    if (dlopen(path, RTLD_NOW | RTLD_NOLOAD) != NULL) die("dlclose did not unload the library", i);
}

static void end_round(int i)
{
    if (i < 0 || !rounds[i].started) return;
    sem_post(&rounds[i].may_end);
    if (pthread_join(rounds[i].thread, NULL) != 0) die("no join", i);
    rounds[i].started = 0;
    sem_destroy(&rounds[i].emitted);
    sem_destroy(&rounds[i].may_end);
}

/* How many keys this process can still make: a leak of one a round shows at once, and at the latest 1024
 * rounds kill it. */
static int free_keys(void)
{
    static pthread_key_t keys[4096];
    int n = 0;

    while (n < 4096 && pthread_key_create(&keys[n], NULL) == 0)
        n++;
    for (int i = 0; i < n; i++)
        pthread_key_delete(keys[i]);
    return n;
}

static int open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    if (dir == NULL) return -1; /* no /proc: nothing to compare */
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

/* The library's fork handlers must have gone with it: a fork would jump into unmapped memory. */
static int fork_works(void)
{
    int status = 1;
    pid_t child = fork();

    if (child == 0) _exit(0);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(int argc, char **argv)
{
    int n = argc > 2 ? atoi(argv[2]) : 0, keys, files;

    if (n < 1 || n > MAX_ROUNDS) {
        fprintf(stderr, "usage: dl_cycle LIBRARY ROUNDS (1 to %d)\n", MAX_ROUNDS);
        return 2;
    }
    run_round(argv[1], 0); /* what libc itself sets up once is not a leak */
    end_round(0);
    keys = free_keys();
    files = open_files();
    for (int i = 1; i < n; i++) {
        run_round(argv[1], i);
        /* Some end just after the unloading, the others during later lives of the library. */
        end_round(i % 3 == 0 ? i : i - LINGER);
    }
    for (int i = 1; i < n; i++)
        end_round(i);
    if (!fork_works()) die("fork does not work any more", n);
    if (free_keys() != keys) {
        fprintf(stderr, "dl_cycle: thread keys leaked: %d of %d were left after %d rounds\n", free_keys(),
                keys, n);
        return 1;
    }
    if (open_files() != files) {
        fprintf(stderr, "dl_cycle: files leaked: %d open before, %d after %d rounds\n", files, open_files(),
                n);
        return 1;
    }
    printf("%d rounds\n", n);
    return 0;
}
