/* Runs a program and writes what it cost: wall, user and system nanoseconds, peak memory in KiB, exit code. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long nanoseconds(struct timeval time)
{
    return (long long)time.tv_sec * 1000000000LL + (long long)time.tv_usec * 1000LL;
}

int main(int argc, char **argv)
{
    struct timespec start, end;
    struct rusage usage;
    int status;

    if (argc < 3) {
        fprintf(stderr, "usage: measure RESULT PROGRAM [ARGUMENT]...\n");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child) {
        perror("measure");
        return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    long long wall = (long long)(end.tv_sec - start.tv_sec) * 1000000000LL + (end.tv_nsec - start.tv_nsec);
    long long peak = usage.ru_maxrss;
#ifdef __APPLE__
    peak /= 1024; /* bytes there, KiB elsewhere */
#endif
    FILE *result = fopen(argv[1], "w");
    if (result == NULL) {
        perror(argv[1]);
        return 1;
    }
    fprintf(result, "%lld %lld %lld %lld %d\n", wall, nanoseconds(usage.ru_utime), nanoseconds(usage.ru_stime), peak,
            WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return fclose(result) == 0 ? 0 : 1;
}
