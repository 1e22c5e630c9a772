"""Directories and databases that begin without TLS: LDAP, PostgreSQL, MariaDB."""

import re
from pathlib import Path

from . import on_the_way
from .network import v4
from .starttls import CERTIFICATE, HOST, PASSWORD, USER, home, shown

LDAP_TOOLS = ["ldapsearch", "slapd", "dnsmasq"]
POSTGRESQL_TOOLS = ["psql", "postgresql", "dnsmasq"]
MARIADB_TOOLS = ["mariadb", "mariadb-server", "dnsmasq"]


# LDAP

BASE = "dc=mail,dc=test"


def slapd(lab, tls=True):
    """A directory with nothing in it but its administrator."""
    identity = lab.pki.server(HOST)
    files = home(lab, "slapd")
    lines = [
        "include /etc/ldap/schema/core.schema",
        "modulepath /usr/lib/ldap",
        "moduleload back_ldif.la",
        f"pidfile {files}/pid",
        f"argsfile {files}/args",
    ]
    if tls:
        lines += [f"TLSCACertificateFile {identity.chain}", f"TLSCertificateFile {identity.chain}"]
        lines += [f"TLSCertificateKeyFile {identity.key}", "TLSCipherSuite SECURE128:-VERS-ALL:+VERS-TLS1.2"]
    lines += ["database ldif", f'suffix "{BASE}"', f'rootdn "cn={USER},{BASE}"', f"rootpw {PASSWORD}"]
    lines += [f"directory {files}"]
    (files / "slapd.conf").write_text("\n".join(lines) + "\n")
    lab.serve("slapd", "-d", "0", "-f", files / "slapd.conf", "-h", f"ldap://{v4(HOST)}", port=389)


def ldapsearch(lab, *options):
    """Asks for an entry that is not there, as the administrator."""
    command = ["env", f"LDAPTLS_CACERT={lab.pki.root}", "ldapsearch", "-H", f"ldap://{HOST}", "-x", *options]
    lab.phone(*command, "-D", f"cn={USER},{BASE}", "-w", PASSWORD, "-b", BASE, "-s", "base", fails=True)


@shown(
    "ldap-upgraded",
    "ldapsearch -ZZ changes to TLS 1.2 before it binds.",
    LDAP_TOOLS,
    expect=['ldap.requestName == "1.3.6.1.4.1.1466.20037"', *CERTIFICATE],
    forbid=["ldap.bindRequest_element"],
)
def ldap_upgraded(lab):
    slapd(lab)
    with lab.recording():
        ldapsearch(lab, "-ZZ")


@shown(
    "ldap-refused",
    "ldapsearch -Z asks for TLS, which slapd cannot, and binds with its password all the same.",
    LDAP_TOOLS,
    fires=["cleartext-credentials", "starttls-stripped"],
    expect=['ldap.requestName == "1.3.6.1.4.1.1466.20037"', "ldap.simple"],
    forbid=["tls"],
)
def ldap_refused(lab):
    slapd(lab, tls=False)
    with lab.recording():
        ldapsearch(lab, "-Z")


LDAP3 = """
import ldap3, sys
host, user, password, first = sys.argv[1:]
server = ldap3.Server(host, get_info=ldap3.DSA)
login = dict(user=user, password=password)
connection = ldap3.Connection(server, auto_bind="NO_TLS", **({} if first == "anonymous" else login))
if first == "anonymous":
    connection.rebind(**login)
connection.unbind()
"""


def ldap3(lab, first):
    """Python's ldap3, as Debian has it, which asks what the server can behind its first bind."""
    lab.phone("/usr/bin/python3", "-c", LDAP3, HOST, f"cn={USER},{BASE}", PASSWORD, first)


@shown(
    "ldap-unasked",
    "ldap3 binds with its password, and only then asks what the server can.",
    ["python3-ldap3", "slapd", "dnsmasq"],
    fires=["cleartext-credentials", "cleartext-protocol"],
    expect=["ldap.simple", 'frame contains "1.3.6.1.4.1.1466.20037"'],
    forbid=["tls"],
)
def ldap_unasked(lab):
    slapd(lab)
    with lab.recording():
        ldap3(lab, "login")


@shown(
    "ldap-ignored",
    "ldap3 binds anonymously and asks what the server can, which offers TLS; then it binds with its password.",
    ["python3-ldap3", "slapd", "dnsmasq"],
    fires=["cleartext-credentials", "starttls-not-used"],
    expect=["ldap.simple", 'frame contains "1.3.6.1.4.1.1466.20037"'],
    forbid=["tls"],
)
def ldap_ignored(lab):
    slapd(lab)
    with lab.recording():
        ldap3(lab, "anonymous")


# PostgreSQL


SSL_REQUEST = bytes.fromhex("00000008 04d2162f")


def as_postgres(*command):
    return ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command)


def postgresql(lab, tls=True, method="scram-sha-256"):
    """A cluster with one user; `method` is how the user logs in."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    files = lab.dir / "postgresql"
    data = files / "data"
    if not files.exists():
        files.mkdir()
        (files / "password").write_text(PASSWORD)
        lab.run("chown", "-R", "postgres:", files)
        options = [f"--username={USER}", "--auth=scram-sha-256", f"--pwfile={files}/password", "--no-sync"]
        lab.run(*as_postgres(programs / "initdb", *options, data), cwd=files)
    (data / "pg_hba.conf").write_text(f"host all all 0.0.0.0/0 {method}\n")
    settings = [
        f"listen_addresses={v4(HOST)}",
        f"unix_socket_directories={files}",
        f"ssl={'on' if tls else 'off'}",
    ]
    if tls:
        identity = lab.pki.server(HOST)
        for name in ("chain", "key"):
            lab.run("install", "-o", "postgres", "-m", "600", getattr(identity, name), files / name)
        settings += [f"ssl_cert_file={files}/chain", f"ssl_key_file={files}/key"]
        settings += ["ssl_max_protocol_version=TLSv1.2"]
    options = [part for setting in settings for part in ("-c", setting)]
    return lab.serve(*as_postgres(programs / "postgres", "-D", data, *options), port=5432, cwd=files)


def psql(lab, mode, **options):
    """Asks one question under a mode of TLS."""
    where = f"host={HOST} user={USER} password={PASSWORD} dbname=postgres sslmode={mode}"
    lab.phone("psql", "-c", "SELECT 1", f"{where} sslrootcert={lab.pki.root}", **options)


@shown(
    "postgresql-upgraded",
    "psql changes to TLS 1.2 before the login.",
    POSTGRESQL_TOOLS,
    expect=["tcp.payload contains 04:d2:16:2f", *CERTIFICATE],
)
def postgresql_upgraded(lab):
    postgresql(lab)
    with lab.recording():
        psql(lab, "verify-full")


@shown(
    "postgresql-refused",
    "psql prefers TLS, which the server does not do, and logs in all the same, under SCRAM.",
    POSTGRESQL_TOOLS,
    fires=["cleartext-credentials", "starttls-stripped"],
    expect=["tcp.payload contains 04:d2:16:2f", 'tcp.payload contains "SCRAM-SHA-256"'],
    forbid=["tls"],
)
def postgresql_refused(lab):
    postgresql(lab, tls=False)
    with lab.recording():
        psql(lab, "prefer")


@shown(
    "postgresql-refused-left",
    "psql requires TLS, which the server does not do, and leaves.",
    POSTGRESQL_TOOLS,
    expect=["tcp.payload contains 04:d2:16:2f"],
    forbid=["tls", 'tcp.payload contains "anna"'],
)
def postgresql_refused_left(lab):
    postgresql(lab, tls=False)
    with lab.recording():
        psql(lab, "require", fails=True)


@shown(
    "postgresql-unasked",
    "psql does not ask for TLS, and logs in with its password as it is.",
    POSTGRESQL_TOOLS,
    fires=["cleartext-credentials", "cleartext-protocol"],
    expect=['tcp.dstport == 5432 && tcp.payload contains "not-a-secret"'],
    forbid=["tls", "tcp.payload contains 04:d2:16:2f"],
)
def postgresql_unasked(lab):
    postgresql(lab, method="password")
    with lab.recording():
        psql(lab, "disable")


@shown(
    "postgresql-stripped",
    "psql changes to TLS; later somebody on the way answers `N` in the server's place, and psql logs in.",
    POSTGRESQL_TOOLS,
    how="made",
    fires=["cleartext-credentials", "mixed-protection-host", "starttls-stripped"],
    expect=[*CERTIFICATE, 'tcp.payload contains "SCRAM-SHA-256"'],
)
def postgresql_stripped(lab):
    postgresql(lab)

    def refuse(_, data, back):
        if data != SSL_REQUEST:
            return data
        back(b"N")
        return b""

    with lab.recording():
        psql(lab, "prefer")
        with on_the_way.rewriting(lab, HOST, 5432, refuse):
            psql(lab, "prefer")


# MariaDB


def mariadb(lab, tls=True):
    """A server with one user."""
    files = lab.dir / "mariadb"
    data = files / "data"
    if not files.exists():
        files.mkdir()
        options = ["--no-defaults", f"--datadir={data}", "--user=mysql", "--skip-test-db"]
        lab.run("mariadb-install-db", *options, "--auth-root-authentication-method=normal")
        (files / "users.sql").write_text(f"CREATE OR REPLACE USER {USER} IDENTIFIED BY '{PASSWORD}';\n")
        lab.run("chown", "-R", "mysql:", files)
    options = [f"--datadir={data}", f"--socket={files}/socket", f"--pid-file={files}/pid", "--user=mysql"]
    options += [f"--bind-address={v4(HOST)}", f"--init-file={files}/users.sql", "--skip-name-resolve"]
    if tls:
        identity = lab.pki.server(HOST)
        for name in ("chain", "key"):
            lab.run("install", "-o", "mysql", "-m", "600", getattr(identity, name), files / name)
        options += [f"--ssl-cert={files}/chain", f"--ssl-key={files}/key", "--tls-version=TLSv1.2"]
    lab.serve("mariadbd", "--no-defaults", *options, port=3306)


def ask_mariadb(lab, *options, **how):
    """Asks one question."""
    command = ["mariadb", "--no-defaults", "-h", HOST, "-u", USER, f"-p{PASSWORD}", *options]
    lab.phone(*command, "-e", "SELECT 1", **how)


@shown(
    "mysql-upgraded",
    "mariadb --ssl-verify-server-cert changes to TLS 1.2 before the login.",
    MARIADB_TOOLS,
    expect=["mysql.caps.sl == 1 && tcp.dstport == 3306", *CERTIFICATE],
)
def mysql_upgraded(lab):
    mariadb(lab)
    with lab.recording():
        ask_mariadb(lab, f"--ssl-ca={lab.pki.root}", "--ssl-verify-server-cert")


@shown(
    "mysql-ignored",
    "mariadb logs in without TLS, which the server offers.",
    MARIADB_TOOLS,
    fires=["cleartext-credentials", "starttls-not-used"],
    expect=["mysql.user"],
    forbid=["tls"],
)
def mysql_ignored(lab):
    mariadb(lab)
    with lab.recording():
        ask_mariadb(lab, "--skip-ssl")


@shown(
    "mysql-not-offered",
    "mariadb --ssl logs in without TLS where the server does not offer it.",
    MARIADB_TOOLS,
    fires=["cleartext-credentials", "cleartext-protocol"],
    expect=["mysql.user"],
    forbid=["tls"],
)
def mysql_not_offered(lab):
    mariadb(lab, tls=False)
    with lab.recording():
        ask_mariadb(lab, "--ssl")


@shown(
    "mysql-stripped",
    "mariadb --ssl changes to TLS; later somebody on the way takes the offer out of the server's greeting, and it logs in.",
    MARIADB_TOOLS,
    how="made",
    fires=["cleartext-credentials", "cleartext-protocol", "mixed-protection-host", "starttls-stripped"],
    expect=[*CERTIFICATE, "mysql.user"],
)
def mysql_stripped(lab):
    mariadb(lab)

    def without_offer(to_server, data, _):
        """Clears CLIENT_SSL, the bit 11 of the capabilities behind version, thread and salt."""
        greeting = None if to_server else re.match(rb"...\0\x0a[^\0]+\0.{13}", data, re.DOTALL)
        if not greeting:
            return data
        at = greeting.end() + 1
        return data[:at] + bytes([data[at] & ~0x08]) + data[at + 1 :]

    with lab.recording():
        ask_mariadb(lab, "--ssl")
        with on_the_way.rewriting(lab, HOST, 3306, without_offer):
            ask_mariadb(lab, "--ssl")
