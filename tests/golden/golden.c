/* SPDX-License-Identifier: MIT */
/* The golden store on a real disk, on any machine: golden write DIR, golden print DIR. */
#include <string.h>
#include "store_golden.h"

int main(int argc, char **argv)
{
    const char *what = "golden write DIR | golden print DIR";

    if (argc == 3 && strcmp(argv[1], "write") == 0) what = store_golden_write(argv[2]);
    if (argc == 3 && strcmp(argv[1], "print") == 0) what = store_golden_print(argv[2], stdout);
    if (what != NULL) (void)fprintf(stderr, "%s\n", what);
    return what != NULL;
}
