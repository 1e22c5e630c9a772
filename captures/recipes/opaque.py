"""Protocols that encrypt by themselves, without TLS."""

from .catalogue import capture
from .network import v4

HOST = "shop.test"


@capture(
    "opaque/ssh.pcap",
    shows="OpenSSH's client exchanges keys with its server and is not let in: it has no key that counts.",
    tools=["ssh", "sshd", "dnsmasq"],
    fires=["non-tls-encryption"],
    silent=["cleartext-credentials", "cleartext-protocol", "cleartext-unknown"],
    expect=["ssh.protocol", "ssh.message_code == 20"],
)
def ssh(lab):
    key = lab.dir / "host-key"
    lab.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    lab.run("mkdir", "-p", "/run/sshd")
    words = [f"ListenAddress={v4(HOST)}", f"HostKey={key}", "PasswordAuthentication=no", "UsePAM=no"]
    options = [part for word in [*words, f"PidFile={lab.dir}/sshd.pid"] for part in ("-o", word)]
    lab.serve("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *options, port=22)
    words = ["BatchMode=yes", "StrictHostKeyChecking=no", f"UserKnownHostsFile={lab.dir}/known"]
    options = [part for word in [*words, "IdentityFile=none"] for part in ("-o", word)]
    with lab.recording():
        lab.phone("ssh", "-4", "-F", "/dev/null", *options, f"anna@{HOST}", "true", fails=True)
