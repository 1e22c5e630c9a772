"""RTMP: a stream that ffmpeg publishes to nginx, and RTMPE between the two ends of librtmp."""

import subprocess

from .catalogue import capture
from .network import PHONE, v4

HOST = "news.test"
RULES = ["cleartext-credentials", "cleartext-protocol", "cleartext-unknown"]


@capture(
    "others/rtmp-publish.pcap",
    shows="ffmpeg publishes a picture as a stream over RTMP.",
    tools=["ffmpeg", "nginx", "libnginx-mod-rtmp", "dnsmasq"],
    fires=["cleartext-protocol"],
    silent=["cleartext-credentials", "cleartext-unknown", "non-tls-encryption"],
    expect=['tcp.payload contains "tcUrl"', 'tcp.payload contains "publish"'],
)
def rtmp_publish(lab):
    configuration = lab.dir / "rtmp.conf"
    configuration.write_text(
        "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n"
        f"daemon off; master_process off; user root; pid {lab.dir}/rtmp.pid; error_log {lab.dir}/rtmp.log;\n"
        "events { worker_connections 64; }\n"
        f"rtmp {{ server {{ listen {v4(HOST)}:1935; application live {{ live on; }} }} }}\n"
    )
    lab.serve("nginx", "-c", configuration, "-p", lab.dir, port=1935)
    picture = ["-f", "lavfi", "-i", "color=size=32x32:rate=5", "-t", "0.4", "-c:v", "flv1"]
    with lab.recording():
        lab.phone("ffmpeg", "-nostdin", "-loglevel", "error", *picture, "-f", "flv", f"rtmp://{HOST}/live/evening")


@capture(
    "opaque/rtmpe.pcap",
    shows="rtmpdump asks rtmpsrv for a stream over RTMPE: encrypted, and not by TLS.",
    tools=["rtmpdump", "rtmpsrv", "dnsmasq"],
    fires=["non-tls-encryption"],
    silent=RULES,
    expect=["tcp.dstport == 1935 && tcp.payload[0] == 6", "tcp.srcport == 1935 && tcp.payload[0] == 8"],
    forbid=['tcp.payload contains "tcUrl"', "tls"],
)
def rtmpe(lab):
    # It answers 6 with 8, whatever it was asked for. It takes commands from its input, and spins when that has ended.
    lab.serve("rtmpsrv", port=1935, stdin=subprocess.PIPE)
    with lab.recording():
        lab.exec(PHONE, "timeout", 4, "rtmpdump", "-q", "-m", 2, "-r", f"rtmpe://{HOST}/live/evening", "-o", "/dev/null")
