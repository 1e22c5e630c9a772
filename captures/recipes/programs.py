"""The clients of the lab: each program as a careful app uses it, unless a recipe says otherwise."""

import contextlib
import shutil
import subprocess
import threading
import time

from .clients import connect
from .network import PHONE, enter, v4
from .servers import tlslite_settings


class Programs:
    """The part of the lab that asks."""

    def exec(self, namespace, *command, check=False, timeout=40, **options):
        """Runs a command in a namespace, and keeps what it says."""
        result = subprocess.run(
            ["ip", "netns", "exec", namespace, *map(str, command)],
            capture_output=True,
            timeout=timeout,
            **({} if "input" in options else {"stdin": subprocess.DEVNULL}),
            **options,
        )
        if check and result.returncode != 0:
            raise RuntimeError(f"{command} failed: {result.stdout.decode()}{result.stderr.decode()}")
        return result

    def phone(self, *command, uid=None, fails=False, **options):
        """Runs a client on the phone, as an app's uid if given; `fails` says that it must not succeed."""
        if uid is not None:
            # Only the right to read files is kept: the repository may lie in a private home directory.
            command = (
                "setpriv",
                f"--reuid={uid}",
                f"--regid={uid}",
                "--clear-groups",
                "--inh-caps=+dac_read_search",
                "--ambient-caps=+dac_read_search",
                *command,
            )
        result = self.exec(PHONE, *command, **options)
        if (result.returncode != 0) != fails:
            raise RuntimeError(f"{command} ended with {result.returncode}: {result.stdout} {result.stderr}")
        return result

    def curl(self, *arguments, **options):
        """curl as a careful app uses it: the lab's root, TLS 1.2 and above, forward secrecy. Arguments go over that."""
        careful = ["--cacert", self.pki.root, "--tlsv1.2", "--ciphers", "ECDHE+AESGCM:ECDHE+CHACHA20"]
        return self.phone("curl", "-sS", "-m", "10", *careful, *arguments, **options)

    def s_client(
        self,
        host,
        *options,
        request="GET / HTTP/1.0\r\n\r\n",
        port=443,
        fails=False,
        name=True,
        wait=0.4,
        renegotiate=False,
    ):
        """`openssl s_client`, which sends one request and waits for the answer.

        With `renegotiate`, a line `R` in the request is s_client's command for it and is not sent.
        """
        names = ["-servername", host] if name else ["-noservername"]
        command = [
            "ip",
            "netns",
            "exec",
            PHONE,
            "openssl",
            "s_client",
            "-connect",
            f"{v4(host)}:{port}",
            *names,
            "-CAfile",
            self.pki.root,
            *([] if renegotiate else ["-quiet", "-no_ign_eof"]),
            *map(str, options),
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        with contextlib.suppress(BrokenPipeError):
            time.sleep(wait)
            for part in request.splitlines(keepends=True) if renegotiate else [request or ""]:
                if process.poll() is None and part:
                    process.stdin.write(part.encode())
                    process.stdin.flush()
                    time.sleep(wait)
            process.stdin.close()
        output = process.stdout.read()
        process.wait(20)
        if (process.returncode != 0) != fails:
            raise RuntimeError(f"{command} ended with {process.returncode}: {output}")
        return output

    def gnutls_cli(self, host, priority, *options, fails=False):
        """`gnutls-cli`, which sends one request."""
        self.phone(
            "gnutls-cli",
            "--priority",
            priority,
            "--x509cafile",
            self.pki.root,
            "--port",
            443,
            "--sni-hostname",
            host,
            "--verify-hostname",
            host,
            *options,
            v4(host),
            input=b"GET / HTTP/1.0\r\n\r\n",
            fails=fails,
        )

    def tlslite_client(self, host, **settings):
        """A client of tlslite-ng, which sends one request and checks nothing."""
        from tlslite.api import TLSConnection

        def ask():
            session = TLSConnection(connect(v4(host)))
            session.handshakeClientCert(serverName=host, settings=tlslite_settings(settings))
            session.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = session.recv(4096)
            session.close()
            return answer

        return self.on_phone(ask)

    def chromium(self, url, *options, home=None):
        """Chromium without a window, trusting exactly the keys of the lab's certificates."""
        profile = self.dir / "chromium"
        hashes = ",".join(self.pki.key_hashes())
        self.phone(
            *(["env", f"HOME={home}"] if home else []),
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            f"--user-data-dir={profile}",
            f"--ignore-certificate-errors-spki-list={hashes}",
            *options,
            "--dump-dom",
            url,
        )
        shutil.rmtree(profile, ignore_errors=True)

    def python(self, script, *arguments, **options):
        """Runs a Python script on the phone, in the recorder's virtual environment."""
        return self.phone(self.venv / "bin/python", "-c", script, *arguments, **options)

    def on_phone(self, function):
        """Calls a function in a thread of the phone's namespace and returns its result."""
        outcome = {}

        def call():
            try:
                enter(PHONE)
                outcome["value"] = function()
            except BaseException as error:
                outcome["error"] = error

        thread = threading.Thread(target=call)
        thread.start()
        thread.join(60)
        if "error" in outcome:
            raise outcome["error"]
        return outcome.get("value")
