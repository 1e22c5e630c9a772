"""The lab's own certificate authority, good and bad leaves, made with the `openssl` command.

Keys live in `target/recorder/pki` and never enter the repository. The trusted root's certificate is appended to
`certificates/lab-root.pem`, because the captures that were recorded under an earlier root stay valid under it.
"""

import base64
import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

CONFIG = """
[ca]
default_ca = lab
[lab]
database = {dir}/index.txt
new_certs_dir = {dir}
rand_serial = yes
policy = any
email_in_dn = no
unique_subject = no
copy_extensions = none
[any]
commonName = supplied
organizationName = optional
[req]
distinguished_name = dn
prompt = no
[dn]
CN = unset
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[intermediate]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""

LEAF = """
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature{extra_usage}
extendedKeyUsage = {purpose}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{names}
"""


def tlv(tag, *values):
    """A value of DER."""
    value = b"".join(values)
    length = bytes([len(value)]) if len(value) < 128 else bytes([0x81, len(value)])
    return bytes([tag]) + length + value


@dataclass
class Identity:
    """A certificate, its key, and the chain to present with it."""

    certificate: Path
    key: Path
    chain: Path


class Pki:
    """Makes certificates on demand and remembers them by name."""

    def __init__(self, directory: Path):
        self.dir = directory
        fresh = not (directory / "root.pem").exists()
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "index.txt").touch()
        (directory / "openssl.cnf").write_text(CONFIG.format(dir=directory))
        if fresh:
            self._authority("root", "Observer Lab Root", None)
            self._authority("intermediate", "Observer Lab Issuing CA", "root")
            self._authority("stranger", "Unknown Root", None)
        self.root = directory / "root.pem"

    def leaf(
        self,
        name,
        hosts,
        *,
        issuer="intermediate",
        key="ec",
        digest="sha256",
        start=None,
        end=None,
        purpose="serverAuth",
        self_signed=False,
        send_chain=True,
    ) -> Identity:
        """Issues (once) the leaf `name` for `hosts`; `start` and `end` are YYYYMMDDHHMMSSZ."""
        identity = Identity(*(self.dir / f"{name}{end_}" for end_ in (".pem", ".key", ".chain.pem")))
        if identity.chain.exists():
            return identity
        self._key(identity.key, key)
        names = f"subjectAltName = {','.join(f'DNS:{host}' for host in hosts)}" if hosts else ""
        usage = ",keyEncipherment" if key.startswith("rsa") else ""
        config = self.dir / f"{name}.cnf"
        config.write_text(
            CONFIG.format(dir=self.dir) + LEAF.format(names=names, purpose=purpose, extra_usage=usage)
        )
        common_name = hosts[0] if hosts else name
        self._issue(
            identity, config, "leaf", common_name, None if self_signed else issuer, digest, start, end, 365
        )
        chain = identity.certificate.read_text()
        if issuer == "intermediate" and send_chain and not self_signed:
            chain += (self.dir / "intermediate.pem").read_text()
        identity.chain.write_text(chain)
        return identity

    def server(self, host, **options) -> Identity:
        """The good identity of `host`."""
        return self.leaf(f"server-{host}-{options.get('key', 'ec')}", [host, f"www.{host}"], **options)

    def authority(self, name, common_name):
        """The certificate of an authority that nobody trusts by itself, made once."""
        path = self.dir / f"{name}.pem"
        if not path.exists():
            self._authority(name, common_name, None)
        return path

    def client(self, name="phone", **options) -> Identity:
        """A client certificate under the trusted root."""
        return self.leaf(f"client-{name}", [], purpose="clientAuth", **options)

    def hello_key(self, public_name):
        """A key for Encrypted Client Hello, made once: as NSS's server takes it, and the ECHConfigList (RFC 9849 §4)."""
        path = self.dir / "hello.key"
        if not path.exists():
            self._openssl("genpkey", "-algorithm", "X25519", "-out", path)
        private = self._openssl("pkey", "-in", path, "-outform", "der").stdout[-32:]
        public = self._openssl("pkey", "-in", path, "-pubout", "-outform", "der").stdout[-32:]
        # config_id 7, DHKEM with X25519, HKDF-SHA256 and AES-128-GCM, names of up to 64 bytes, no extensions.
        name = public_name.encode()
        body = b"\x07\x00\x20\x00\x20" + public + b"\x00\x04\x00\x01\x00\x01\x40" + bytes([len(name)]) + name + b"\x00\x00"
        config = b"\xfe\x0d" + len(body).to_bytes(2, "big") + body
        configs = len(config).to_bytes(2, "big") + config
        # PKCS #8 with id-ecPublicKey and Curve25519, NSS's own way to name X25519.
        algorithm = tlv(0x30, bytes.fromhex("06072a8648ce3d020106092b06010401da470f01"))
        key = tlv(0x30, b"\x02\x01\x01", tlv(0x04, private), tlv(0xA1, tlv(0x03, b"\x00" + public)))
        pkcs8 = tlv(0x30, b"\x02\x01\x00", algorithm, tlv(0x04, key))
        return len(pkcs8).to_bytes(2, "big") + pkcs8 + configs, configs

    def key_hashes(self):
        """The SHA-256 of every leaf's public key in base64, as browsers pin them."""
        for certificate in sorted(self.dir.glob("server-*.chain.pem")):
            public = self._openssl("x509", "-in", certificate, "-noout", "-pubkey").stdout
            command = ["openssl", "pkey", "-pubin", "-outform", "der"]
            der = subprocess.run(command, input=public, capture_output=True, check=True)
            yield base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()

    def publish_root(self, bundle: Path):
        """Adds the trusted root to the committed bundle, unless it is there."""
        pem = "".join(self.root.read_text().partition("-----BEGIN")[1:])
        known = bundle.read_text() if bundle.exists() else ""
        if pem not in known:
            bundle.parent.mkdir(parents=True, exist_ok=True)
            bundle.write_text(known + pem)

    def _authority(self, name, common_name, issuer):
        identity = Identity(self.dir / f"{name}.pem", self.dir / f"{name}.key", self.dir / f"{name}.pem")
        self._key(identity.key, "ec")
        section = "intermediate" if issuer else "root"
        self._issue(
            identity, self.dir / "openssl.cnf", section, common_name, issuer, "sha256", None, None, 3650
        )

    def _key(self, path, kind):
        if kind.startswith("rsa"):
            self._openssl("genrsa", "-out", path, kind[3:])
        elif kind == "ed25519":
            self._openssl("genpkey", "-algorithm", kind, "-out", path)
        else:
            curve = {"ec": "prime256v1"}.get(kind, kind)
            self._openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", path)

    def _issue(self, identity, config, section, common_name, issuer, digest, start, end, days):
        request = identity.key.with_suffix(".csr")
        subject = f"/O=Observer Lab/CN={common_name}"
        self._openssl(
            "req",
            "-new",
            "-sha256",
            "-key",
            identity.key,
            "-subj",
            subject,
            "-out",
            request,
            "-config",
            config,
        )
        signer = (
            ["-cert", self.dir / f"{issuer}.pem", "-keyfile", self.dir / f"{issuer}.key"]
            if issuer
            else ["-selfsign", "-keyfile", identity.key]
        )
        dates = (["-startdate", start] if start else []) + (
            ["-enddate", end] if end else ["-days", str(days)]
        )
        self._openssl(
            "ca",
            "-batch",
            "-notext",
            "-config",
            config,
            "-extensions",
            section,
            "-md",
            digest,
            *signer,
            *dates,
            "-in",
            request,
            "-out",
            identity.certificate,
        )

    def _openssl(self, *arguments):
        return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
