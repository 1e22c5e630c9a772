/* Sends the frames of a capture through an interface: replay INTERFACE FILE PACKETS_A_SECOND (0 for as fast as it goes).
 * Says how many frames it sent, and in how many seconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

int main(int count, char **words) {
    char error[PCAP_ERRBUF_SIZE];
    if (count != 4)
        return 2;
    pcap_t *file = pcap_open_offline(words[2], error);
    if (!file) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(words[1])};
    int sock = socket(AF_PACKET, SOCK_RAW, 0);
    if (sock < 0 || bind(sock, (struct sockaddr *)&to, sizeof to) != 0) {
        perror("socket");
        return 1;
    }
    double rate = atof(words[3]), begun = now();
    unsigned long sent = 0, refused = 0;
    struct pcap_pkthdr *header;
    const unsigned char *bytes;
    while (pcap_next_ex(file, &header, &bytes) == 1) {
        /* In bursts of 16, as a scheduler has it anyway. */
        while (rate > 0 && sent % 16 == 0 && (double)sent / rate > now() - begun) {
            struct timespec while_ahead = {.tv_nsec = 50000};
            nanosleep(&while_ahead, NULL);
        }
        if (send(sock, bytes, header->caplen, 0) == (ssize_t)header->caplen)
            sent++;
        else if (errno == ENOBUFS || errno == EMSGSIZE)
            refused++;
        else {
            perror("send");
            return 1;
        }
    }
    printf("%lu %lu %f\n", sent, refused, now() - begun);
    return 0;
}
