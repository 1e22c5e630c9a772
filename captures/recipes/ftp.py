"""FTP: control connections, and the data connections that they agree on. The server is vsftpd."""

import os

from .catalogue import capture
from .decryption import KEYS, keyed
from .network import v4

HOST = "shop.test"
QUIET = ["cleartext-http", "cleartext-unknown", "non-tls-encryption"]

CONFIGURATION = """
listen=YES
listen_address={address}
background=NO
anonymous_enable=YES
anon_root={root}
anon_upload_enable=YES
write_enable=YES
connect_from_port_20=YES
seccomp_sandbox=NO
ssl_enable={tls}
allow_anon_ssl=YES
force_local_data_ssl=NO
force_local_logins_ssl=NO
ssl_tlsv1=YES
require_ssl_reuse=NO
rsa_cert_file={chain}
rsa_private_key_file={key}
ssl_ciphers=HIGH
secure_chroot_dir={empty}
xferlog_enable=NO
"""

# What a careless app keeps: text, and a file that begins like a request of HTTP.
FILES = {
    "orders.txt": "order 1047: 2 pairs of shoes, ship to 12 Mill Lane\n" * 4,
    "saved.txt": "GET /cart HTTP/1.1\r\nHost: news.test\r\nCookie: session=1\r\n\r\n",
}


def vsftpd(lab, *, tls=False):
    root, empty = lab.dir / "ftp", lab.dir / "ftp-empty"
    for directory in (root, empty):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
    for name, text in FILES.items():
        (root / name).write_text(text)
        (root / name).chmod(0o644)
    identity = lab.pki.server(HOST)
    configuration = lab.dir / "vsftpd.conf"
    configuration.write_text(
        CONFIGURATION.format(
            address=v4(HOST),
            root=root,
            empty=empty,
            tls="YES" if tls else "NO",
            chain=identity.chain,
            key=identity.key,
        )
    )
    return lab.serve("vsftpd", configuration, port=21)


def fetch(lab, name, *options, **settings):
    resolve = f"{HOST}:21:{v4(HOST)}"
    return lab.curl("--resolve", resolve, *options, f"ftp://{HOST}/{name}", **settings)


@capture(
    "ftp/passive.pcap",
    shows="curl fetches two files over FTP: a text after EPSV, and one that begins like HTTP after PASV.",
    tools=["curl", "vsftpd"],
    fires=["cleartext-protocol"],
    silent=QUIET,
    expect=["ftp.response.code == 229", "ftp.response.code == 227", "ftp-data"],
)
def passive(lab):
    vsftpd(lab)
    with lab.recording():
        fetch(lab, "orders.txt")
        fetch(lab, "saved.txt", "--disable-epsv")


@capture(
    "ftp/active.pcap",
    shows="curl fetches a file over FTP twice, and the server connects: after EPRT, and after PORT.",
    tools=["curl", "vsftpd"],
    fires=["cleartext-protocol"],
    silent=QUIET,
    expect=["ftp.request.command == EPRT", "ftp.request.command == PORT", "tcp.srcport == 20"],
)
def active(lab):
    vsftpd(lab)
    with lab.recording():
        fetch(lab, "orders.txt", "--ftp-port", "-")
        fetch(lab, "saved.txt", "--ftp-port", "-", "--disable-eprt")


@capture(
    "ftp/data-under-tls.pcap",
    shows="lftp lists a directory and fetches a file over FTP: control and data connections are under TLS.",
    tools=["lftp", "vsftpd"],
    silent=[*QUIET, "cleartext-protocol"],
    expect=["ftp.request.command == AUTH", "tls.handshake.type == 1 && !(tcp.dstport == 21)"],
)
def data_under_tls(lab):
    vsftpd(lab, tls=True)
    settings = [
        f"set ssl:ca-file {lab.pki.root}",
        "set ssl:check-hostname no",
        "set ftp:ssl-force yes",
        "set ftp:ssl-protect-data yes",
        "set ftp:prefer-epsv yes",
    ]
    commands = "; ".join([*settings, "ls", f"get orders.txt -o {lab.dir}/got.txt", "bye"])
    with lab.recording():
        lab.phone("lftp", "-u", "anonymous,app@phone.test", v4(HOST), "-e", commands)


def asks_late(lab, *, tls):
    """lftp logs in, asks only then what the server can, and goes on with a list and a file."""
    vsftpd(lab, tls=tls)
    settings = "set ftp:ssl-allow no; set ftp:use-feat no"
    commands = f"{settings}; quote FEAT; ls; cat orders.txt; bye"
    with lab.recording():
        lab.phone("lftp", "-u", "anonymous,app@phone.test", v4(HOST), "-e", commands)


LATE = ["ftp.request.command == PASS", "ftp.request.command == FEAT", "ftp.request.command == RETR"]


@capture(
    "ftp/listed-late.pcap",
    shows="lftp logs in and asks then what the server can, which has no TLS, and fetches a file.",
    tools=["lftp", "vsftpd"],
    fires=["cleartext-protocol"],
    silent=[*QUIET, "starttls-not-used", "starttls-stripped"],
    expect=LATE,
    forbid=['frame contains "AUTH TLS"'],
)
def listed_late(lab):
    asks_late(lab, tls=False)


@capture(
    "ftp/offered-late.pcap",
    shows="lftp logs in and asks then what the server can, which offers TLS, and fetches a file without.",
    tools=["lftp", "vsftpd"],
    fires=["cleartext-protocol", "starttls-not-used"],
    silent=[*QUIET, "starttls-stripped"],
    expect=[*LATE, 'frame contains "AUTH TLS"'],
    forbid=["tls"],
)
def offered_late(lab):
    asks_late(lab, tls=True)


def control_alone(lab, **settings):
    fetch(lab, "orders.txt", "--ftp-ssl-control", **settings)


@capture(
    "ftp/data-in-the-clear.pcap",
    shows="curl fetches a file over FTP with a control connection under TLS, and the data in the clear.",
    tools=["curl", "vsftpd"],
    fires=["cleartext-unknown"],
    silent=["cleartext-http", "cleartext-protocol", "non-tls-encryption"],
    expect=["ftp.request.command == AUTH", "tcp contains \"order 1047\""],
)
def data_in_the_clear(lab):
    vsftpd(lab, tls=True)
    with lab.recording():
        control_alone(lab)


@keyed(
    "ftp-data-in-the-clear",
    "curl fetches a file over FTP with a control connection under TLS, whose keys are there, and the data in the clear.",
    ["curl", "vsftpd", "editcap"],
    headers=False,
    fires=["cleartext-protocol"],
    expect=["tcp contains \"order 1047\""],
)
def data_in_the_clear_decrypted(lab):
    vsftpd(lab, tls=True)
    control_alone(lab, env={**os.environ, "SSLKEYLOGFILE": str(lab.dir / KEYS)})
