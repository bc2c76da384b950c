/* SPDX-License-Identifier: MIT */
/* Runs bench programs interleaved: in each round every case of every program once, in a new order.
 *
 *      bench_run [-r ROUNDS] [-s SEED] [-n NICE] [-k PART,PART..] [-o FILE.json] [-i "KEY VALUE"]... [-m
 * "MISSING PEER"]... COMMAND...
 *
 * Each COMMAND is started once, through the shell, and asked by lines (bench.h). One case is measured at a
 * time. Exit code: 0, 1 when a result was wrong or a program ended early, 2 for wrong usage. Never depends on
 * a time.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_report.h"

#define PROGRAMS_MAX 32
#define ANSWER_MS    600000 /* building a million subscriptions in a slow peer, on a busy machine */

struct program {
    const char *command;
    pid_t pid;
    int to;
    FILE *from;
    bool dead;
};

static struct program programs[PROGRAMS_MAX];
static uint32_t program_count;
static struct bench_report report;
static uint64_t random_state;

static uint32_t below(uint32_t bound) /* splitmix64 */
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % bound);
}

static void note(const char *key, const char *value)
{
    char text[256];

    snprintf(text, sizeof text, "%s %s", key, value);
    text[strcspn(text, "\n")] = '\0';
    for (uint32_t i = 0; i < report.notes; i++) {
        if (strcmp(report.note[i], text) == 0) return; /* two programs of one library */
    }
    if (report.notes < NOTES_MAX) memcpy(report.note[report.notes++], text, sizeof text);
}

/* ---- programs ---- */

static bool start(struct program *p)
{
    int in[2], out[2];

    if (pipe(in) != 0 || pipe(out) != 0) return false;
    p->pid = fork();
    if (p->pid < 0) return false;
    if (p->pid == 0) {
        char shell[1024];

        dup2(in[0], 0);
        dup2(out[1], 1);
        for (int fd = 3; fd < 256; fd++)
            close(fd); /* a later program must not hold an earlier one's pipe open */
        snprintf(shell, sizeof shell, "exec %s", p->command);
        execl("/bin/sh", "sh", "-c", shell, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    p->to = in[1];
    p->from = fdopen(out[0], "r");
    return p->from != NULL;
}

static void say(struct program *p, const char *line)
{
    size_t size = strlen(line);

    if (write(p->to, line, size) != (ssize_t)size) p->dead = true;
}

/* The next line of a program; NULL when it ended or says nothing for too long. Lines come one by one as
 * answers, so that nothing is left in the stream's buffer when poll is asked, but for the list, which comes
 * in one piece: `more` skips the poll. */
static char *hear(struct program *p, char *line, size_t size, bool more)
{
    struct pollfd wait = {.fd = fileno(p->from), .events = POLLIN};

    if (p->dead) return NULL;
    if (!more && poll(&wait, 1, ANSWER_MS) <= 0) {
        fprintf(stderr, "bench_run: %s: no answer\n", p->command);
        kill(p->pid, SIGKILL);
        p->dead = true;
        return NULL;
    }
    if (fgets(line, (int)size, p->from) == NULL) {
        fprintf(stderr, "bench_run: %s: ended early\n", p->command);
        p->dead = true;
        return NULL;
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* only: parts of "NAME IMPL" with commas between, any of which will do; NULL = everything. */
static bool wanted(const struct bench_row *row, const char *only)
{
    char part[72], text[72];

    if (only == NULL) return true;
    snprintf(text, sizeof text, "%s %s", row->name, row->impl);
    while (*only != '\0') {
        size_t size = strcspn(only, ",");

        snprintf(part, sizeof part, "%.*s", (int)size, only);
        if (size > 0 && strstr(text, part) != NULL) return true;
        only += only[size] == ',' ? size + 1 : size;
    }
    return false;
}

static void add_row(uint32_t program, const char *line, const char *only)
{
    struct bench_row *row = &report.row[report.rows];

    if (report.rows == ROWS_MAX) return;
    memset(row, 0, sizeof *row);
    if (sscanf(line, "case %39s %23s %u", row->name, row->impl, &row->every) != 3) return;
    if (!wanted(row, only)) return;
    row->program = program;
    for (uint32_t i = 0; i < ROUNDS_MAX; i++)
        row->ns.value[i] = NAN;
    report.rows++;
}

static void ask_list(uint32_t program, const char *only)
{
    struct program *p = &programs[program];
    char buf[512], *line;
    bool more = false;

    say(p, "list\n");
    while ((line = hear(p, buf, sizeof buf, more)) != NULL && strcmp(line, "end") != 0) {
        more = true;
        if (strncmp(line, "case ", 5) == 0) add_row(program, line, only);
        if (strncmp(line, "info ", 5) == 0) {
            char *value = strchr(line + 5, ' ');

            if (value == NULL) continue;
            *value = '\0';
            note(line + 5, value + 1);
        }
    }
}

/* ---- one measurement ---- */

static void store_extra(struct bench_row *row, uint32_t round, const char *key, double value)
{
    struct bench_series *s = NULL;

    for (uint32_t i = 0; i < row->extras; i++) {
        if (strcmp(row->extra[i].name, key) == 0) s = &row->extra[i];
    }
    if (s == NULL) {
        if (row->extras == ROW_EXTRAS) return;
        s = &row->extra[row->extras++];
        snprintf(s->name, sizeof s->name, "%s", key);
        for (uint32_t i = 0; i < ROUNDS_MAX; i++)
            s->value[i] = NAN;
    }
    s->value[round] = value;
}

static void measure(struct bench_row *row, uint32_t round)
{
    struct program *p = &programs[row->program];
    char buf[1024], *line, *word, *rest;

    if (row->wrong[0] != '\0' || row->skip[0] != '\0') return;
    snprintf(buf, sizeof buf, "run %s %s\n", row->name, row->impl);
    say(p, buf);
    line = hear(p, buf, sizeof buf, false);
    if (line == NULL) {
        snprintf(row->wrong, sizeof row->wrong, "the program ended");
    } else if (strncmp(line, "wrong ", 6) == 0) {
        snprintf(row->wrong, sizeof row->wrong, "%.150s", line + 6);
    } else if (strncmp(line, "skip ", 5) == 0) {
        snprintf(row->skip, sizeof row->skip, "skipped: %.140s", line + 5);
    } else if (strcmp(line, "busy") == 0) {
        row->crowded++;
    } else if (strncmp(line, "ok ", 3) == 0) {
        row->ns.value[round] = strtod(line + 3, &rest);
        for (word = strtok(rest, " "); word != NULL; word = strtok(NULL, " ")) {
            char *equals = strchr(word, '=');

            if (equals == NULL) continue;
            *equals = '\0';
            if (strcmp(word, "busy") == 0)
                row->busy += strtod(equals + 1, NULL);
            else
                store_extra(row, round, word, strtod(equals + 1, NULL));
        }
    } else {
        snprintf(row->wrong, sizeof row->wrong, "not an answer: %.120s", line);
    }
    if (row->wrong[0] != '\0') fprintf(stderr, "bench_run: %s of %s: %s\n", row->name, row->impl, row->wrong);
}

/* On a terminal a line that moves; in a log one line a round. */
static void progress(uint32_t round, uint32_t done)
{
    if (isatty(2))
        fprintf(stderr, "\rround %u of %u, case %u of %u ", round + 1, report.rounds, done, report.rows);
    else if (done == report.rows)
        fprintf(stderr, "round %u of %u\n", round + 1, report.rounds);
}

static void run_round(uint32_t round)
{
    uint32_t order[ROWS_MAX];

    for (uint32_t i = 0; i < report.rows; i++) { /* Fisher-Yates, inside out */
        uint32_t k = below(i + 1);

        order[i] = order[k];
        order[k] = i;
    }
    for (uint32_t i = 0; i < report.rows; i++) {
        struct bench_row *row = &report.row[order[i]];

        if (round % (row->every > 0 ? row->every : 1) == 0) measure(row, round);
        progress(round, i + 1);
    }
}

/* ---- machine ---- */

static void note_machine(const char *when)
{
    char line[256], key[32];
    FILE *f = fopen("/proc/loadavg", "r");

    if (f == NULL) return;
    snprintf(key, sizeof key, "load_%s", when);
    if (fgets(line, sizeof line, f) != NULL) note(key, line);
    fclose(f);
}

static void note_system(void)
{
    struct utsname u;
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "model name", 10) != 0) continue;
        note("cpu", strchr(line, ':') != NULL ? strchr(line, ':') + 2 : line);
        break;
    }
    if (f != NULL) fclose(f);
    snprintf(line, sizeof line, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    note("cpus", line);
    if (uname(&u) == 0) {
        snprintf(line, sizeof line, "%.60s %.60s %.60s", u.sysname, u.release, u.machine);
        note("system", line);
    }
}

static int usage(void)
{
    fprintf(stderr, "usage: bench_run [-r ROUNDS] [-s SEED] [-n NICE] [-k PART,PART..] [-o FILE.json] [-i "
                    "\"KEY VALUE\"]... "
                    "[-m \"MISSING PEER\"]... COMMAND...\n");
    return 2;
}

int main(int argc, char **argv)
{
    const char *json = NULL, *only = NULL;
    bool early = false;
    int option;

    report.rounds = 15;
    report.seed = (uint64_t)time(NULL);
    while ((option = getopt(argc, argv, "r:s:n:k:o:i:m:")) != -1) {
        if (option == 'r') report.rounds = (uint32_t)strtoul(optarg, NULL, 10);
        if (option == 's') report.seed = strtoull(optarg, NULL, 10);
        if (option == 'n' && setpriority(PRIO_PROCESS, 0, atoi(optarg)) == 0)
            note("nice", optarg); /* inherited */
        if (option == 'k') only = optarg;
        if (option == 'o') json = optarg;
        if (option == 'i' && report.notes < NOTES_MAX)
            snprintf(report.note[report.notes++], 256, "%s", optarg);
        if (option == 'm' && report.missing < NOTES_MAX)
            snprintf(report.missing_text[report.missing++], 256, "%s", optarg);
        if (option == '?') return usage();
    }
    if (optind == argc || argc - optind > PROGRAMS_MAX || report.rounds == 0 || report.rounds > ROUNDS_MAX)
        return usage();
    signal(SIGPIPE, SIG_IGN);
    random_state = report.seed;
    note_system();
    note_machine("at_start");
    for (; optind < argc; optind++) {
        programs[program_count].command = argv[optind];
        if (!start(&programs[program_count])) {
            fprintf(stderr, "bench_run: cannot start %s: %s\n", argv[optind], strerror(errno));
            return 1;
        }
        ask_list(program_count++, only);
    }
    for (uint32_t round = 0; round < report.rounds; round++)
        run_round(round);
    if (isatty(2)) fprintf(stderr, "\n");
    note_machine("at_end");
    for (uint32_t i = 0; i < program_count; i++) {
        early = early || programs[i].dead;
        close(programs[i].to);
        waitpid(programs[i].pid, NULL, 0);
    }
    report_print(&report, stdout);
    if (json != NULL && !report_write_json(&report, json)) {
        fprintf(stderr, "bench_run: cannot write %s: %s\n", json, strerror(errno));
        return 1;
    }
    if (report_wrong(&report) > 0)
        fprintf(stderr, "bench_run: %u cases with a wrong result\n", report_wrong(&report));
    return report_wrong(&report) > 0 || early ? 1 : 0;
}
