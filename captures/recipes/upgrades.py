"""Other protocols that begin without TLS: FTP, NNTP, ManageSieve, RDP."""

import subprocess
import time

from . import on_the_way
from .network import PHONE, v4
from .starttls import CERTIFICATE, HOST, PASSWORD, RULES, USER, dovecot, home, shown

FTP_TOOLS = ["curl", "proftpd", "dnsmasq"]
NNTP_TOOLS = ["nntplib", "nnrpd", "dnsmasq"]
SIEVE_TOOLS = ["sieve-connect", "dovecot", "dnsmasq"]
RDP_TOOLS = ["xfreerdp", "xrdp", "dnsmasq"]


def unpack(lab, package, into):
    """Unpacks a Debian package, and the libraries that it names, without installing them."""
    lab.run("apt-get", "download", package, cwd=into)
    (file,) = into.glob(f"{package}_*.deb")
    fields = ["--showformat", "${Pre-Depends}, ${Depends}", "--show", file]
    names = [name.split() for name in lab.run("dpkg-deb", *fields, text=True).stdout.split(",")]
    names = [name for name, *_ in filter(None, names) if name.startswith(("lib", package))]
    libraries = [name for name in names if name != "libc6" and not name.endswith("-perl")]
    lab.run("apt-get", "download", *libraries, cwd=into)
    for file in into.glob("*.deb"):
        lab.run("dpkg-deb", "-x", file, into)
        file.unlink()


def with_libraries(root, *folders):
    """The environment in which what was unpacked into `root` finds its libraries."""
    folders = [root / folder for folder in folders]
    folders += [*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu")]
    return ["env", f"LD_LIBRARY_PATH={':'.join(map(str, folders))}"]


# FTP: what is asked for needs no data connection.


def proftpd(lab, tls=True):
    """A server with one user and one file. It is unpacked: Debian installs one FTP server only."""
    programs = lab.dir / "proftpd-packages"
    if not programs.exists():
        programs.mkdir()
        for package in ("proftpd-core", "proftpd-mod-crypto"):
            unpack(lab, package, programs)
    identity = lab.pki.server(HOST)
    files = home(lab, "proftpd")
    (files / "letter.txt").write_text("At noon?\n")
    hashed = lab.run("openssl", "passwd", "-6", PASSWORD, text=True).stdout.strip()
    users = files / "users"
    users.write_text(f"{USER}:{hashed}:65534:65534::{files}:/bin/false\n")
    users.chmod(0o600)
    lines = [
        "ServerName Files",
        "ServerIdent on Files",
        "ServerType standalone",
        f"DefaultAddress {v4(HOST)}",
        "Port 21",
        "UseIPv6 off",
        "UseReverseDNS off",
        "User root",
        "Group root",
        f"PidFile {files}/pid",
        f"ScoreboardFile {files}/scoreboard",
        f"SystemLog {files}/log",
        "WtmpLog off",
        "TransferLog none",
        "AuthOrder mod_auth_file.c",
        "AuthFileOptions InsecurePerms",
        f"AuthUserFile {users}",
        "RequireValidShell off",
    ]
    if tls:
        lines += [
            f"ModulePath {programs}/usr/lib/proftpd",
            "LoadModule mod_tls.c",
            "TLSEngine on",
            "TLSProtocol TLSv1.2",
        ]
        lines += [f"TLSECCertificateFile {identity.chain}", f"TLSECCertificateKeyFile {identity.key}"]
        lines += [f"TLSCertificateChainFile {identity.chain}", f"TLSLog {files}/tls"]
    (files / "proftpd.conf").write_text("\n".join(lines) + "\n")
    command = [*with_libraries(programs), programs / "usr/sbin/proftpd", "--nodaemon"]
    lab.serve(*command, "--config", files / "proftpd.conf", port=21)


def ask_ftp(lab, *options):
    """curl asks for the size and the time of a file."""
    lab.curl("--head", "--user", f"{USER}:{PASSWORD}", *options, f"ftp://{HOST}/letter.txt")


@shown(
    "ftp-upgraded",
    "curl --ssl-reqd changes to TLS 1.2 before the login.",
    FTP_TOOLS,
    expect=["ftp.response.code == 234", "tcp.srcport == 21 && tcp.payload[0:3] == 16:03:03"],
    forbid=['tcp.payload contains "PASS"'],
)
def ftp_upgraded(lab):
    proftpd(lab)
    with lab.recording():
        ask_ftp(lab, "--ssl-reqd")


@shown(
    "ftp-refused",
    "curl --ssl asks for TLS twice, which the server cannot, and logs in all the same.",
    FTP_TOOLS,
    fires=["cleartext-credentials", "starttls-stripped"],
    expect=['ftp.request.arg == "SSL"', 'ftp.request.arg == "TLS"', 'ftp.request.command == "PASS"'],
    forbid=["tls"],
)
def ftp_refused(lab):
    proftpd(lab, tls=False)
    with lab.recording():
        ask_ftp(lab, "--ssl")


@shown(
    "ftp-unasked",
    "curl logs in and asks neither for TLS nor what the server can.",
    FTP_TOOLS,
    fires=["cleartext-credentials", "cleartext-protocol"],
    expect=['ftp.request.command == "PASS"'],
    forbid=["tls", 'ftp.request.command == "FEAT"'],
)
def ftp_unasked(lab):
    proftpd(lab)
    with lab.recording():
        ask_ftp(lab)


@shown(
    "ftp-ignored",
    "lftp without TLS asks what the server can, which offers TLS, and logs in.",
    ["lftp", "proftpd", "dnsmasq"],
    fires=["cleartext-credentials", "starttls-not-used"],
    expect=['ftp.request.command == "FEAT"', 'frame contains "AUTH TLS"', 'ftp.request.command == "PASS"'],
    forbid=["tls"],
)
def ftp_ignored(lab):
    proftpd(lab)
    settings = "set ftp:ssl-allow no; set cmd:fail-exit yes; set dns:order inet"
    with lab.recording():
        lab.phone("lftp", "-c", f"{settings}; open -u {USER},{PASSWORD} ftp://{HOST}; quote NOOP; close")


# NNTP


def nnrpd(lab, tls=True):
    """INN's server for readers. Its package does not install where the machine has no domain: it is unpacked."""
    news = lab.dir / "inn2"
    if not news.exists():
        news.mkdir()
        unpack(lab, "inn2", news)
        for folder in ("db", "spool", "run", "tmp", "etc", "log"):
            (news / folder).mkdir(exist_ok=True)
        (news / "db/active").write_text("")
        (news / "db/newsgroups").write_text("")
        (news / "db/active.times").write_text("")
    identity = lab.pki.server(HOST)
    programs = news / "usr/lib/news"
    lines = [f"domain: {HOST}", "mta: /bin/true", "hismethod: hisv6", f"pathnews: {programs}"]
    lines += [f"pathdb: {news}/db", f"pathetc: {news}/etc", f"pathrun: {news}/run", f"pathtmp: {news}/tmp"]
    lines += [f"pathspool: {news}/spool", f"pathlog: {news}/log"]
    lines += [f"pathoverview: {news}/spool", "enableoverview: true", "ovmethod: tradindexed"]
    if tls:
        for name in ("chain", "key"):
            lab.run("install", "-m", "600", getattr(identity, name), news / "etc" / name)
        lines += [
            f"tlscertfile: {news}/etc/chain",
            f"tlskeyfile: {news}/etc/key",
            "tlsprotocols: [ TLSv1.2 ]",
        ]
    (news / "etc/inn.conf").write_text("\n".join(lines) + "\n")
    check = f"#!/bin/sh\necho User:{USER}\r\n"
    (news / "etc/check").write_text(check)
    (news / "etc/check").chmod(0o755)
    (news / "etc/storage.conf").write_text("method tradspool {\n newsgroups: *\n class: 0\n}\n")
    (news / "etc/readers.conf").write_text(
        f'auth "all" {{\n hosts: "*"\n auth: "{news}/etc/check"\n default: "nobody"\n}}\n'
        'access "all" {\n users: "*"\n newsgroups: "*"\n access: RP\n}\n'
    )
    # It goes on as the user `news`, whom every Debian has.
    lab.run("chown", "-R", "news:", news)
    environment = [*with_libraries(news, "usr/lib/news"), f"INNCONF={news}/etc/inn.conf"]
    # An empty overview: nnrpd makes none.
    as_news = ["setpriv", "--reuid=news", "--regid=news", "--clear-groups"]
    lab.run(*environment, *as_news, programs / "bin/overchan", stdin=subprocess.DEVNULL)
    named = ["unshare", "--uts", "sh", "-c", f'hostname {HOST} && exec "$@"', "sh"]
    options = ["-f", "-D", "-p", "119", "-b", v4(HOST)]
    lab.serve(*named, *environment, programs / "bin/nnrpd", *options, port=119)


NNTPLIB = """
import contextlib, nntplib, ssl, sys
host, root, user, password, how = sys.argv[1:]
with nntplib.NNTP(host, readermode=None, timeout=10) as client:
    client.getcapabilities()
    if how != "ignored":
        with contextlib.nullcontext() if how == "upgraded" else contextlib.suppress(nntplib.NNTPError):
            client.starttls(ssl.create_default_context(cafile=root))
    if how == "upgraded":
        client.date()
    else:
        client.login(user, password, usenetrc=False)
"""


def nntplib(lab, how):
    """Python's nntplib, which warns that it will leave the standard library."""
    script = "import warnings; warnings.simplefilter('ignore')\n" + NNTPLIB
    lab.python(script, HOST, lab.pki.root, USER, PASSWORD, how)


@shown(
    "nntp-upgraded",
    "nntplib changes to TLS 1.2 and asks for the time.",
    NNTP_TOOLS,
    expect=['tcp.dstport == 119 && nntp contains "STARTTLS"', *CERTIFICATE],
    forbid=['nntp contains "DATE"'],
)
def nntp_upgraded(lab):
    nnrpd(lab)
    with lab.recording():
        nntplib(lab, "upgraded")


@shown(
    "nntp-ignored",
    "nntplib asks what the server can, which offers TLS, and logs in without.",
    NNTP_TOOLS,
    fires=["cleartext-credentials", "starttls-not-used"],
    expect=['nntp contains "STARTTLS"', 'nntp contains "authinfo pass"'],
    forbid=["tls"],
)
def nntp_ignored(lab):
    nnrpd(lab)
    with lab.recording():
        nntplib(lab, "ignored")


@shown(
    "nntp-refused",
    "nntplib asks for TLS, which nnrpd offers without a certificate and then refuses, and logs in all the same.",
    NNTP_TOOLS,
    fires=["cleartext-credentials", "starttls-stripped"],
    expect=['tcp.dstport == 119 && nntp contains "STARTTLS"', 'nntp contains "authinfo pass"'],
    forbid=["tls"],
)
def nntp_refused(lab):
    nnrpd(lab, tls=False)
    with lab.recording():
        nntplib(lab, "refused")


# ManageSieve


def sieve(lab, *options, **how):
    """Lists the scripts of a user, of whom there are none."""
    command = ["sieve-connect", "--server", HOST, "--port", "4190", "--user", USER, "--passwordfd", "0"]
    command += ["--tlscafile", lab.pki.root, "--authmech", "PLAIN", "--list", *options]
    lab.phone(*command, input=f"{PASSWORD}\n".encode(), **how)


@shown(
    "managesieve-upgraded",
    "sieve-connect changes to TLS before the login.",
    SIEVE_TOOLS,
    expect=["tcp.srcport == 4190 && tcp.payload[0:3] == 16:03:03"],
    forbid=['tcp.payload contains "AUTHENTICATE"'],
)
def managesieve_upgraded(lab):
    dovecot(lab, "sieve", True)
    with lab.recording():
        sieve(lab)


@shown(
    "managesieve-not-offered",
    "sieve-connect --clearchan logs in without TLS, which the server does not offer.",
    SIEVE_TOOLS,
    fires=["cleartext-credentials", "cleartext-protocol"],
    expect=['tcp.payload contains "AUTHENTICATE"'],
    forbid=['tcp.payload contains "STARTTLS"'],
)
def managesieve_not_offered(lab):
    dovecot(lab, "sieve", False)
    with lab.recording():
        sieve(lab, "--clearchan")


@shown(
    "managesieve-stripped",
    "sieve-connect changes to TLS; later somebody on the way takes the offer out, and with --clearchan it logs in.",
    SIEVE_TOOLS,
    how="made",
    fires=["cleartext-credentials", "cleartext-protocol", "mixed-protection-host", "starttls-stripped"],
    expect=["tcp.srcport == 4190 && tcp.payload[0:3] == 16:03:03", 'tcp.payload contains "AUTHENTICATE"'],
)
def managesieve_stripped(lab):
    dovecot(lab, "sieve", True)
    with lab.recording():
        sieve(lab)
        with on_the_way.rewriting(lab, HOST, 4190, on_the_way.replacing(b'"STARTTLS"\r\n', b"")):
            sieve(lab, "--clearchan")


# RDP


def xrdp(lab, layer):
    """The front of a remote desktop, with the layer of security that it takes."""
    identity = lab.pki.server(HOST, key="rsa2048")
    files = home(lab, "xrdp")
    lines = [
        "[Globals]",
        f"port=tcp://{v4(HOST)}:3389",
        f"security_layer={layer}",
        "crypt_level=low",
        f"certificate={identity.chain}",
        f"key_file={identity.key}",
        "ssl_protocols=TLSv1.2",
        "max_bpp=16",
        "fork=true",
        "[Logging]",
        f"LogFile={files}/log",
        "LogLevel=INFO",
        "EnableSyslog=false",
        "[Channels]",
        "[Xorg]",
        "name=Xorg",
        "lib=libxup.so",
        "username=ask",
        "password=ask",
    ]
    (files / "xrdp.ini").write_text("\n".join(lines) + "\n")
    lab.serve("xrdp", "--nodaemon", "--config", files / "xrdp.ini", port=3389)


def xfreerdp(lab, *options):
    """xfreerdp on a screen that nobody sees; it only finds out whether it may log in."""
    screen = subprocess.Popen(["Xvfb", ":97", "-nolisten", "tcp"], stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        command = [
            "env",
            "DISPLAY=:97",
            f"HOME={home(lab, 'xfreerdp')}",
            "xfreerdp",
            f"/v:{HOST}",
            f"/u:{USER}",
        ]
        command += [f"/p:{PASSWORD}", "/cert:ignore", "+auth-only", "/timeout:5000", *options]
        lab.exec(PHONE, *command)
    finally:
        screen.terminate()
        screen.wait(10)


@shown(
    "rdp-upgraded",
    "xfreerdp and xrdp agree on TLS 1.2.",
    RDP_TOOLS,
    rules=[*RULES, "non-tls-encryption"],
    expect=["rdp.negReq.requestedProtocols", "tcp.srcport == 3389 && tcp.payload[0:3] == 16:03:03"],
)
def rdp_upgraded(lab):
    xrdp(lab, "tls")
    with lab.recording():
        xfreerdp(lab, "/sec:tls")


@shown(
    "rdp-refused",
    "xfreerdp asks for TLS, which xrdp does not do, and goes on under RDP's own encryption.",
    RDP_TOOLS,
    fires=["non-tls-encryption"],
    expect=["rdp.negReq.requestedProtocols", "rdp.negReq.selectedProtocol == 0", "rdp.encryptionMethod"],
    forbid=["tls"],
)
def rdp_refused(lab):
    xrdp(lab, "rdp")
    with lab.recording():
        xfreerdp(lab)
