/* SPDX-License-Identifier: MIT */
/* Peer: libmosquitto's mosquitto_topic_matches_sub over a list of patterns, which is what an MQTT client
 * program that keeps its own listeners does with it: peer_mosquitto DIRECTORY-OF-WORKLOADS.
 *
 * The same patterns and topics in MQTT spelling. None of the topics is shorter than the tokens before a `#`,
 * so that the two dialects agree. At 1M patterns one topic takes longer than a slice; the number is then a
 * median of few.
 */
#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "workload.h"

struct match_state {
    char *path;
    struct workload w;
    uint64_t position, slice;
};

static void to_mqtt(char *name)
{
    for (; *name != '\0'; name++) {
        if (*name == '.') *name = '/';
        if (*name == '*') *name = '+';
        if (*name == '>') *name = '#';
    }
}

static bool cold_batch(void *arg, uint64_t n)
{
    struct match_state *s = arg;
    uint64_t count = 0, sum = 0, first = s->position, want_count, want_sum;

    for (uint64_t i = 0; i < n; i++) {
        const char *topic = s->w.topic[s->position];

        for (uint32_t k = 0; k < s->w.patterns; k++) {
            bool matches = false;

            if (mosquitto_topic_matches_sub(s->w.pattern[k], topic, &matches) != MOSQ_ERR_SUCCESS)
                return false;
            count += matches;
            sum += matches ? k + 1 : 0;
        }
        if (++s->position == s->w.topics) s->position = 0;
    }
    workload_expect(&s->w, first, n, &want_count, &want_sum);
    return count == want_count && sum == want_sum;
}

static void measure(void *arg, struct bench_result *ret)
{
    struct match_state *s = arg;

    if (s->w.patterns == 0) {
        bench_require(workload_load(&s->w, s->path), s->path);
        for (uint32_t i = 0; i < s->w.patterns; i++)
            to_mqtt(s->w.pattern[i]);
        for (uint32_t i = 0; i < s->w.topics; i++)
            to_mqtt(s->w.topic[i]);
        s->slice = s->w.patterns >= 100000 ? 1 : 0;
    }
    bench_time(cold_batch, s, &s->slice, ret);
}

int main(int argc, char **argv)
{
    static const char *const labels[] = {"1k", "100k", "1M"};
    static struct match_state states[3];
    int major, minor, revision;
    char text[512];

    bench_require(argc == 2, "usage: peer_mosquitto DIRECTORY");
    mosquitto_lib_version(&major, &minor, &revision);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, revision);
    bench_info("libmosquitto", text);
    for (uint32_t i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "%s/match-%s.txt", argv[1], labels[i]);
        states[i].path = strdup(text);
        snprintf(text, sizeof text, "match/%s/cold", labels[i]);
        bench_add_measured(text, "mosquitto", i == 2 ? 5 : 1, measure, &states[i]);
    }
    return bench_main(1, argv);
}
