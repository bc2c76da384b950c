/* SPDX-License-Identifier: MIT */
/* flights: replays a file of flights as events and computes delays per airport of departure.
 *
 * Each row becomes the event `flight.<ORIGIN>.<DESTINATION>`. When an origin is first seen, a listener on
 * `flight.<ORIGIN>.*` is registered that owns the airport's sums; one listener on `flight.>` keeps the
 * totals. The loop that reads the rows knows nothing of sums, the listeners know nothing of files. With
 * `--workers N` the airports are queues whose handlers run on N threads; see flights_workers.h. With
 * `--store DIR` every flight is in a store before it is an event, and `--replay DIR` needs the store only;
 * see flights_store.h.
 *
 * Introduces: evb_listen with free_user for state that a listener owns, one wildcard listener per group,
 * evb_emit by name of a struct, and the number of listeners reached as a check.
 *
 * Usage: flights [--workers N] [--store DIR] [--all | --csv] [FILE], or --replay DIR and no FILE. FILE is
 * described in flights_csv.h; `-` is standard input.
 */
/* POSIX: access, readlink, clock_gettime; in flights_csv.h fileno, fstat, isatty. Files over 2 GB on 32-bit
 * machines, too. */
#define _POSIX_C_SOURCE   200809L
#define _FILE_OFFSET_BITS 64

#include "flights_csv.h"
#include "flights_store.h"
#include "flights_workers.h"

#include <evbus.h>

#include <limits.h>
#include <signal.h>
#include <time.h>

enum { LATE_AFTER_MIN = 15, TOP_AIRPORTS = 10, CODES = 26 * 26 * 26 };

/* ---- events and listeners ---- */

/* Delays are 32 bits: an int64_t sum holds 2^32 rows of the worst one, a file of 128 GB of nothing else. */
typedef struct tally {
    int64_t flights, delay_sum, late;
} tally;

typedef struct airport {
    char code[CODE_LEN + 1];
    tally tally;
} airport;

typedef struct replay {
    evb_bus *bus;
    uint32_t workers; /* 0: listeners, in the thread that reads */
    tally totals;
    airport *airports[CODES]; /* AAA..ZZZ, in order of code; owned by their listeners or queues */
    uint32_t airport_count;
    int64_t malformed;
    evb_sub *malformed_rows; /* NULL without workers */
    flight_store flights;    /* with --store and --replay */
} replay;

static void tally_add(tally *t, const flight *f)
{
    t->flights++;
    t->delay_sum += f->delay_min;
    t->late += f->delay_min > LATE_AFTER_MIN;
}

/* A listener, or the handler of a queue. */
static int32_t on_departure(const evb_event *ev, void *user)
{
    airport *from = user;
    tally_add(&from->tally, ev->data);
    return EVB_OK;
}

static int32_t on_any_flight(const evb_event *ev, void *user)
{
    tally *totals = user;
    tally_add(totals, ev->data);
    return EVB_OK;
}

/* First flight from here: the listener or queue gets the new sums for its own, and the bus frees them when it
 * has ended. */
static int32_t open_airport(replay *r, const char *code, airport **ret_airport)
{
    char pattern[sizeof "flight.XXX.*"];
    airport *a = calloc(1, sizeof *a);
    if (a == NULL) return EVB_ENOMEM;
    memcpy(a->code, code, CODE_LEN);
    snprintf(pattern, sizeof pattern, "flight.%.3s.*", code);
    int64_t result =
        r->workers > 0 ? queue_airport(r->bus, pattern, on_departure, a)
                       : evb_listen(r->bus, pattern, &(evb_listen_opts){.free_user = free}, on_departure, a);
    if (result < 0) {
        free(a); /* what was never registered owns nothing */
        return (int32_t)result;
    }
    r->airport_count++;
    *ret_airport = a;
    return EVB_OK;
}

/* By name, not by handle: the sample has 2 977 routes in 20 000 rows, and opening a topic costs more than the
 * few emits on it save (5.3 ms a file by name, 6.8 to 7.9 ms with a bounded cache of handles). With twenty
 * times the rows on the same routes and all handles kept it is the other way round; but codes make 26^6
 * possible routes, and a name needs no cache to bound. An emit reaches listeners and queues alike; the totals
 * stay a listener, which runs here. */
static int32_t emit_flight(replay *r, const flight *f)
{
    char topic[] = "flight.XXX.XXX";
    airport **slot =
        &r->airports[((f->origin[0] - 'A') * 26 + (f->origin[1] - 'A')) * 26 + (f->origin[2] - 'A')];
    if (*slot == NULL) {
        int32_t status = open_airport(r, f->origin, slot);
        if (status < 0) return status;
    }
    memcpy(topic + 7, f->origin, CODE_LEN);
    memcpy(topic + 11, f->destination, CODE_LEN);
    int32_t reached = evb_emit(r->bus, topic, f, sizeof *f);
    if (reached < 0) return reached;
    return reached == 2 ? EVB_OK : EVB_ENOROUTE; /* its airport and the totals, nobody else */
}

/* With workers the report waits in the dead-letter queue. */
static int32_t report_malformed(replay *r, const csv_input *in, const char *reason)
{
    r->malformed++;
    if (r->workers > 0) return publish_malformed(r->bus, in->line, reason);
    fprintf(stderr, "%s:%" PRId64 ": %s\n", in->name, in->line, reason);
    return EVB_OK;
}

/* Waits until every queue is done: what its handlers wrote is then ours to read. */
static int32_t finish_workers(replay *r, const char *file)
{
    if (r->workers == 0) return EVB_OK;
    int32_t status = evb_bus_drain(r->bus, EVB_FOREVER);
    return status < 0 ? status : list_malformed(r->malformed_rows, file, r->malformed);
}

/* First it is kept, then it is told. */
static int32_t take_flight(replay *r, const flight *f, int64_t line)
{
    int32_t status = r->flights.store != NULL ? store_flight(&r->flights, f, line) : EVB_OK;
    return status < 0 ? status : emit_flight(r, f);
}

/* Every flight of the store once through the bus. False: the reason has been printed. */
static bool replay_store(replay *r, const char *dir)
{
    flight f = {.delay_min = 0};
    int32_t status;
    while ((status = next_flight(&r->flights, &f)) == EVB_OK && (status = emit_flight(r, &f)) == EVB_OK) {
    }
    int32_t finished = finish_workers(r, dir);
    if (status == EVB_EEMPTY) status = finished;
    if (status < 0)
        fprintf(stderr, "flights: %s: cannot replay: %s\n", dir,
                status == EVB_EINVAL ? "it holds something else than flights" : store_trouble(status));
    return status >= 0;
}

/* Every row once through the bus. False: the reason has been printed. */
static bool replay_file(replay *r, csv_input *in, const char *dir)
{
    int32_t status = EVB_OK;
    flight f;
    const char *reason = NULL;
    int got = CSV_ROW;
    while (status == EVB_OK && ((got = csv_next(in, &f, &reason)) == CSV_ROW || got == CSV_MALFORMED))
        status = got == CSV_ROW ? take_flight(r, &f, in->line) : report_malformed(r, in, reason);
    progress_clear(in);

    int32_t finished = finish_workers(r, in->name);
    if (status >= 0 && got != CSV_ERROR && dir != NULL) status = finish_store(&r->flights);
    if (status < 0 && dir != NULL)
        fprintf(stderr, "flights: %s:%" PRId64 ": cannot go on with %s: %s\n", in->name, in->line, dir,
                store_trouble(status));
    else if (status < 0)
        fprintf(stderr, "flights: %s:%" PRId64 ": cannot emit: %s\n", in->name, in->line,
                evb_strerror(status));
    else if (got == CSV_ERROR)
        fprintf(stderr, "flights: cannot read %s: %s\n", in->name, reason);
    else if (finished < 0)
        fprintf(stderr, "flights: cannot finish: %s\n", evb_strerror(finished));
    else
        return true;
    return false;
}

/* ---- results ---- */

/* printf's rounding of the quotient, but never "-0.0". */
static const char *decimal(char buf[32], double value, int decimals)
{
    snprintf(buf, 32, "%.*f", decimals, value);
    return buf + (buf[0] == '-' && strspn(buf, "-0.") == strlen(buf));
}

static double mean_delay(const tally *t)
{
    return (double)t->delay_sum / (double)t->flights;
}

static double late_share(const tally *t, int whole)
{
    return (double)whole * (double)t->late / (double)t->flights;
}

static int most_flights_first(const void *a, const void *b)
{
    const airport *x = *(airport *const *)a, *y = *(airport *const *)b;
    if (x->tally.flights != y->tally.flights) return x->tally.flights < y->tally.flights ? 1 : -1;
    return strcmp(x->code, y->code);
}

/* The slots in use, still in order of code. After the replay nobody looks up a slot by its code any more. */
static void compact_airports(replay *r)
{
    uint32_t n = 0;
    for (int i = 0; i < CODES; i++)
        if (r->airports[i] != NULL) r->airports[n++] = r->airports[i];
}

static bool print_csv(const replay *r)
{
    char mean[32], share[32];
    if (printf("airport,flights,mean_delay,late_share\n") < 0) return false;
    for (uint32_t i = 0; i < r->airport_count; i++) {
        const airport *a = r->airports[i];
        if (printf("%s,%" PRId64 ",%s,%s\n", a->code, a->tally.flights,
                   decimal(mean, mean_delay(&a->tally), 3), decimal(share, late_share(&a->tally, 1), 4)) < 0)
            return false;
    }
    return fflush(stdout) == 0;
}

static bool print_table(replay *r, uint32_t limit, double seconds)
{
    char mean[32], share[32];
    const tally *t = &r->totals;
    qsort(r->airports, r->airport_count, sizeof r->airports[0], most_flights_first);
    if (printf("airport    flights  mean delay (min)  over 15 min late\n") < 0) return false;
    for (uint32_t i = 0; i < r->airport_count && i < limit; i++) {
        const airport *a = r->airports[i];
        if (printf("%-7s %10" PRId64 " %17s %16s%%\n", a->code, a->tally.flights,
                   decimal(mean, mean_delay(&a->tally), 1),
                   decimal(share, late_share(&a->tally, 100), 1)) < 0)
            return false;
    }
    if (printf("\ntotal: %" PRId64 " flights, %" PRIu32 " airports", t->flights, r->airport_count) < 0)
        return false;
    if (t->flights > 0 && printf(", mean delay %s min, %s%% over 15 min late",
                                 decimal(mean, mean_delay(t), 1), decimal(share, late_share(t, 100), 1)) < 0)
        return false;
    if (r->malformed > 0 && printf("\nmalformed rows: %" PRId64, r->malformed) < 0) return false;
    if (printf("\nevents per second: %.0f (%" PRId64 " events in %.1f ms, reading and parsing included)\n",
               (double)t->flights / seconds, t->flights, 1e3 * seconds) < 0)
        return false;
    return fflush(stdout) == 0;
}

/* ---- the program ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Looked for from the current folder, then from the program's: build/examples/flights is two below the one we
 * mean. */
static const char *default_file(const char *program)
{
    static const char data[] = "examples/data/flights.csv", up[] = "/../../";
    static char path[PATH_MAX + sizeof up + sizeof data];
    if (access(data, F_OK) == 0) return data;
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (n < 0) n = snprintf(path, PATH_MAX, "%s", program); /* no /proc: as the program was called */
    if (n < 0 || n >= PATH_MAX) return data;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) return data;
    memcpy(slash, up, sizeof up - 1);
    memcpy(slash + sizeof up - 1, data, sizeof data);
    return access(path, F_OK) == 0 ? path : data;
}

static const char usage[] =
    "usage: flights [--workers N] [--store DIR] [--all | --csv] [FILE]\n"
    "       flights [--workers N] --replay DIR [--all | --csv]\n"
    "  FILE   date,origin,destination,delay_min,distance_mi; default examples/data/flights.csv; - is stdin\n"
    "  --all  every airport, not only the ten with most flights\n"
    "  --csv  every airport by code, as CSV and nothing else\n"
    "  --workers N  queues and N threads, 1 to 48, instead of listeners; the result is the same\n"
    "  --store DIR  each flight is appended to the store in DIR before it is counted; what is there is not\n"
    "               appended again, so a run that was killed can be started once more\n"
    "  --replay DIR  the same table from the store in DIR alone\n";

typedef struct orders {
    const char *file, *store, *replay; /* NULL: not said */
    bool all, csv;
    uint32_t workers;
} orders;

/* False: the reason has been printed. */
static bool open_store(replay *r, const orders *o)
{
    const char *dir = o->store != NULL ? o->store : o->replay;
    if (dir == NULL) return true;
    int32_t status = o->store != NULL ? open_flights(&r->flights, dir) : open_replay(&r->flights, dir);
    if (status < 0) fprintf(stderr, "flights: cannot open %s: %s\n", dir, store_trouble(status));
    return status >= 0;
}

static int run(const orders *o)
{
    static replay r; /* static: both are big for a small stack */
    static csv_input in;
    int exit_code = 1;

    r.workers = o->workers;
    int32_t status = evb_bus_create(&(evb_bus_opts){.workers = o->workers}, &r.bus);
    if (status == EVB_OK) {
        int64_t id = evb_on(r.bus, "flight.>", on_any_flight, &r.totals);
        if (id < 0) status = (int32_t)id;
    }
    if (status == EVB_OK && o->workers > 0) status = queue_malformed(r.bus, &r.malformed_rows);
    if (status < 0) {
        fprintf(stderr, "flights: cannot set up the bus: %s\n", evb_strerror(status));
        goto out;
    }
    if (o->replay == NULL && !csv_open(&in, o->file)) {
        fprintf(stderr, "flights: cannot open %s: %s\n", o->file, strerror(errno));
        goto out;
    }
    if (!open_store(&r, o)) goto out;
    double begin = now();
    if (!(o->replay != NULL ? replay_store(&r, o->replay) : replay_file(&r, &in, o->store))) goto out;
    double seconds = now() - begin;
    if (seconds <= 0) seconds = 1e-9; /* a coarse clock */

    compact_airports(&r);
    if (!(o->csv ? print_csv(&r) : print_table(&r, o->all ? CODES : TOP_AIRPORTS, seconds))) {
        fprintf(stderr, "flights: cannot write: %s\n", strerror(errno));
        goto out;
    }
    exit_code = 0;
out:
    csv_close(&in);
    close_flights(&r.flights);
    if (r.malformed_rows != NULL) (void)evb_unsubscribe(r.malformed_rows);
    evb_bus_destroy(r.bus); /* ends listeners and queues, which frees the airports; NULL is fine */
    return exit_code;
}

int main(int argc, char **argv)
{
    orders o = {.workers = 0};
    bool options = true;

    signal(SIGPIPE, SIG_IGN); /* a reader that went away is then a write error with a message */
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (!options || arg[0] != '-' || arg[1] == '\0') {
            if (o.file == NULL) {
                o.file = arg;
                continue;
            }
        } else if (strcmp(arg, "--") == 0) {
            options = false;
            continue;
        } else if (strcmp(arg, "--all") == 0) {
            o.all = true;
            continue;
        } else if (strcmp(arg, "--csv") == 0) {
            o.csv = true;
            continue;
        } else if (strcmp(arg, "--store") == 0 || strcmp(arg, "--replay") == 0) {
            const char **dir = arg[2] == 's' ? &o.store : &o.replay;
            *dir = argv[++i]; /* NULL when it was the last one */
            if (*dir != NULL && **dir != '\0') continue;
            fprintf(stderr, "flights: %s needs a directory\n%s", arg, usage);
            return 2;
        } else if (strcmp(arg, "--workers") == 0) {
            const char *number = argv[++i]; /* NULL when it was the last one */
            o.workers = parse_workers(number);
            if (o.workers > 0) continue;
            fprintf(stderr, "flights: --workers needs a number from 1 to %d, not: %s\n%s", (int)WORKERS_MAX,
                    number != NULL ? number : "nothing", usage);
            return 2;
        } else if (strcmp(arg, "--help") == 0) {
            return fputs(usage, stdout) < 0 || fflush(stdout) != 0;
        }
        fprintf(stderr, "flights: unexpected argument: %s\n%s", arg, usage);
        return 2;
    }
    if (o.replay != NULL && (o.store != NULL || o.file != NULL)) {
        fprintf(stderr, "flights: --replay takes everything from the store: no %s\n%s",
                o.file != NULL ? "file" : "--store", usage);
        return 2;
    }
    if (o.file == NULL) o.file = default_file(argv[0]);
    return run(&o);
}
