/* Short flows under rotating users, each with two ends that no other flow of the run has, and a note of whose it is.
 *
 *   flows serve                           takes TCP connections on port 5009, swallows UDP, until its input ends
 *   flows make RATE SECONDS FILE          RATE flows a second, 0 for as many as it can make; the notes go to FILE
 *
 * A flow is one connection that carries a byte, or one datagram, from port 10000 to 59999 to an address of 10.78.0.0/16,
 * by one of 100 processes of the uids 10100 to 10199. A note is a line: tcp or udp, port, last number of the address
 * (0 to 65535), uid. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <signal.h>
#include <unistd.h>

enum { USERS = 100, FIRST_UID = 10100, FIRST_PORT = 10000, PORTS = 50000, PEER_PORT = 5009 };

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int open_socket(int kind, uint32_t address, uint16_t port) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    int one = 1;
    int sock = socket(AF_INET, kind, 0);
    if (sock < 0)
        fail("socket");
    setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(sock, (struct sockaddr *)&here, sizeof here) != 0) {
        close(sock);
        return -1;
    }
    return sock;
}

static void serve(void) {
    int udp = open_socket(SOCK_DGRAM, INADDR_ANY, PEER_PORT);
    int tcp = open_socket(SOCK_STREAM, INADDR_ANY, PEER_PORT);
    if (udp < 0 || tcp < 0 || listen(tcp, 4096) != 0)
        fail("listen");
    pid_t swallower = fork();
    char bytes[64];
    if (swallower == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            recv(udp, bytes, sizeof bytes, 0);
    }
    pid_t accepter = fork();
    if (accepter == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int stream = accept(tcp, NULL, NULL);
            if (stream < 0)
                continue;
            recv(stream, bytes, sizeof bytes, 0);
            close(stream);
        }
    }
    puts("ready");
    fflush(stdout);
    while (read(0, bytes, sizeof bytes) > 0) {
    }
    kill(swallower, SIGKILL);
    kill(accepter, SIGKILL);
}

/* One flow; whether it was made: a port may be somebody else's. */
static int flow(int kind, uint16_t port, uint16_t address) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(PEER_PORT)};
    peer.sin_addr.s_addr = htonl((10u << 24) | (78u << 16) | address);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int sock = open_socket(kind, INADDR_ANY, port);
    if (sock < 0)
        return 0;
    int made = connect(sock, (struct sockaddr *)&peer, sizeof peer) == 0;
    made = made && send(sock, "x", 1, MSG_NOSIGNAL) == 1;
    /* No port waits after its connection. */
    if (kind == SOCK_STREAM)
        setsockopt(sock, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(sock);
    return made;
}

/* Flows come one after the other, or a few at once: a rate is that of all processes together. */
static void make(double rate, double seconds, const char *path) {
    atomic_uint *next = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (next == MAP_FAILED)
        fail("mmap");
    double begun = now() + 0.2;
    for (int user = 0; user < USERS; user++) {
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child > 0)
            continue;
        char part[4096];
        snprintf(part, sizeof part, "%s.%d", path, user);
        FILE *notes = fopen(part, "w");
        uid_t uid = FIRST_UID + (uid_t)user;
        if (!notes || setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)
            fail("becoming a user");
        for (unsigned turn = 0;; turn++) {
            /* Where there is a rate, each process has its times; where there is none, its next time is now. */
            double due = rate > 0 ? begun + ((double)turn * USERS + user) / rate : begun;
            double wait = due - now();
            if (wait > 0)
                usleep((useconds_t)(wait * 1e6));
            if (now() > begun + seconds)
                break;
            unsigned number = atomic_fetch_add(next, 1);
            int kind = number % 2 ? SOCK_STREAM : SOCK_DGRAM;
            uint16_t port = (uint16_t)(FIRST_PORT + number % PORTS);
            uint16_t address = (uint16_t)(1 + number / PORTS);
            if (flow(kind, port, address))
                fprintf(notes, "%s %u %u %u\n", kind == SOCK_STREAM ? "tcp" : "udp", port, address, uid);
        }
        exit(fclose(notes) == 0 ? 0 : 1);
    }
    int status, failed = 0;
    while (wait(&status) > 0)
        failed |= status;
    if (failed)
        exit(1);
}

int main(int count, char **words) {
    if (count == 2 && strcmp(words[1], "serve") == 0)
        serve();
    else if (count == 5 && strcmp(words[1], "make") == 0)
        make(atof(words[2]), atof(words[3]), words[4]);
    else
        return 2;
    return 0;
}
