/* The floor of reading a capture file: libpcap's own loop, counting packets and bytes. */
#include <pcap/pcap.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    char error[PCAP_ERRBUF_SIZE];
    struct pcap_pkthdr *header;
    const unsigned char *data;
    unsigned long long packets = 0, bytes = 0;
    int result;

    if (argc != 2) {
        fprintf(stderr, "usage: pcap_loop FILE\n");
        return 2;
    }
    pcap_t *capture = pcap_open_offline(argv[1], error);
    if (capture == NULL) {
        fprintf(stderr, "pcap_loop: %s\n", error);
        return 1;
    }
    while ((result = pcap_next_ex(capture, &header, &data)) == 1) {
        packets += 1;
        bytes += header->caplen;
    }
    if (result == PCAP_ERROR) {
        fprintf(stderr, "pcap_loop: %s\n", pcap_geterr(capture));
        return 1;
    }
    pcap_close(capture);
    printf("%llu %llu\n", packets, bytes);
    return 0;
}
