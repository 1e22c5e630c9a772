"""WebRTC: STUN, DTLS and SRTP in one flow, between two peers of aiortc and through coturn."""

import base64
import hmac
import subprocess
import time

from .catalogue import capture
from .network import NET, PHONE, PHONE_V4, v4
from .vpn import running

PEER, RELAY = "chat.test", "proxy.test"
USER, SECRET = "anna", "not-a-secret"
HELLO = "frame contains 16:fe:fd:00:00:00:00"
KEYED = "dtls.handshake.type == 2 && dtls.handshake.extension.type == 14"
# What DTLS between peers does not break: they know each other's self-signed certificates by their fingerprints.
SOUND = [
    "accepted-self-signed",
    "accepted-untrusted-chain",
    "cleartext-protocol",
    "cleartext-unknown",
    "missing-sni",
    "non-tls-encryption",
    "tls-version-negotiated",
    "tls-version-offered",
]

# A peer that says its session description on standard output and reads the other's on standard input: what carries
# descriptions is no part of the capture. It has one address, so that there is one pair of candidates.
SCRIPT = """
import asyncio, json, sys
import aioice.ice
from aiortc import (
    RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection, RTCSessionDescription
)
from aiortc.mediastreams import AudioStreamTrack

role, address, seconds, kind, *relay = sys.argv[1:]  # a relay is an address, a user and a password
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [address]

async def say(peer):
    local = peer.localDescription
    print(json.dumps({"type": local.type, "sdp": local.sdp}), flush=True)

async def hear(peer):
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await peer.setRemoteDescription(RTCSessionDescription(**json.loads(line)))

async def main():
    servers = [RTCIceServer(*relay)] if relay else []
    policy = RTCIceTransportPolicy.RELAY if relay else RTCIceTransportPolicy.ALL
    peer = RTCPeerConnection(RTCConfiguration(servers, policy))
    met = asyncio.Event()
    peer.on("connectionstatechange", lambda: met.set() if peer.connectionState == "connected" else None)
    if kind == "audio":
        peer.addTrack(AudioStreamTrack())
    if role == "offers":
        if kind == "data":
            channel = peer.createDataChannel("words")
            channel.on("open", lambda: channel.send("good day"))
        await peer.setLocalDescription(await peer.createOffer())
        await say(peer)
        await hear(peer)
    else:
        await hear(peer)
        await peer.setLocalDescription(await peer.createAnswer())
        await say(peer)
    await asyncio.wait_for(met.wait(), 20)
    await asyncio.sleep(float(seconds))
    if role == "offers":
        await peer.close()

asyncio.run(main())
"""


def peer(lab, namespace, *words):
    """A peer in a namespace."""
    command = ["ip", "netns", "exec", namespace, lab.venv / "bin/python", "-c", SCRIPT, *words]
    return subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def call(lab, kind, seconds, *relay):
    """The phone calls a peer; each end's description is handed to the other."""
    caller = peer(lab, PHONE, "offers", PHONE_V4, seconds, kind, *relay)
    called = peer(lab, NET, "answers", v4(PEER), seconds + 1, kind)
    try:
        for one, other in ((caller, called), (called, caller)):
            other.stdin.write(one.stdout.readline())
            other.stdin.flush()
        if caller.wait(30) != 0:
            raise RuntimeError("the call failed")
    finally:
        for one in (caller, called):
            one.kill()
            one.wait(5)


def coturn(lab, *credentials):
    """coturn on the proxy's address."""
    options = ["--realm=proxy.test", *credentials, "--no-tls", "--no-dtls"]
    options += ["--no-cli", "--allow-loopback-peers", "--min-port=50000", "--max-port=50100"]
    options += [f"--listening-ip={v4(RELAY)}", f"--relay-ip={v4(RELAY)}", "--log-file=stdout"]
    options += [f"--pidfile={lab.dir}/turn.pid", f"--userdb={lab.dir}/turn.db", "-c", "/dev/null"]
    lab.serve("turnserver", *options, port=3478, udp=3478)


PASSWORD = ("--lt-cred-mech", f"--user={USER}:{SECRET}")


def passing():
    """A user name that ends in a day, and its password under the secret of TURN's REST API."""
    name = f"{int(time.time()) + 86400}:{USER}"
    digest = hmac.new(SECRET.encode(), name.encode(), "sha1").digest()
    return name, base64.b64encode(digest).decode()


@capture(
    "webrtc/audio.pcap",
    shows="A call between two peers of aiortc, cut short: STUN, DTLS 1.2 with certificates of both sides, SRTP and SRTCP in one flow.",
    tools=["aiortc"],
    silent=SOUND,
    expect=[KEYED, "stun.type == 0x0001", "stun.type == 0x0101", "dtls.handshake.type == 15", "udp.payload[0:1] == 90"],
)
def audio(lab):
    with lab.recording():
        call(lab, "audio", 0.6)


@capture(
    "webrtc/data-channel.pcap",
    shows="A data channel between two peers of aiortc: STUN and DTLS 1.2, and no media.",
    tools=["aiortc"],
    silent=SOUND,
    expect=["stun.type == 0x0101", "dtls.record.content_type == 23"],
    forbid=["udp.payload[0:1] == 90"],
)
def data_channel(lab):
    with lab.recording():
        call(lab, "data", 0.3)


@capture(
    "webrtc/relayed-udp.pcap",
    shows="The same call through coturn over UDP: aiortc allocates with a password and sends by channels.",
    tools=["aiortc", "coturn"],
    fires=["cleartext-credentials"],
    silent=SOUND,
    expect=["stun.type == 0x0103", "stun.type == 0x0109", "stun.channel == 0x4000", HELLO],
)
def relayed_udp(lab):
    coturn(lab, *PASSWORD)
    with lab.recording():
        call(lab, "audio", 0.4, f"turn:{v4(RELAY)}:3478?transport=udp", USER, SECRET)


@capture(
    "webrtc/relayed-tcp.pcap",
    shows="The same call through coturn over TCP, with a password that coturn's secret makes for a day.",
    tools=["aiortc", "coturn"],
    silent=["cleartext-credentials", *SOUND],
    expect=["tcp && stun.type == 0x0103", f"tcp && {HELLO}"],
)
def relayed_tcp(lab):
    coturn(lab, "--use-auth-secret", f"--static-auth-secret={SECRET}")
    with lab.recording():
        call(lab, "audio", 0.4, f"turn:{v4(RELAY)}:3478?transport=tcp", *passing())


# Two peers in one page, each behind its own relay: the only stack here that speaks DTLS 1.3 is at both ends.
PAGE = """
<script>
const configuration = {
  iceServers: [{urls: "turn:RELAY:3478?transport=udp", username: "USER", credential: "SECRET"}],
  iceTransportPolicy: "relay",
};
const peers = [0, 1].map(() => new RTCPeerConnection(configuration));
peers.forEach((peer, at) => {
  peer.onicecandidate = event => event.candidate && peers[1 - at].addIceCandidate(event.candidate);
});
const tone = new AudioContext(), source = tone.createOscillator(), sink = tone.createMediaStreamDestination();
source.connect(sink);
source.start();
peers[0].addTrack(sink.stream.getAudioTracks()[0]);
peers[0].onconnectionstatechange = () => {
  if (peers[0].connectionState == "connected") setTimeout(() => peers.forEach(peer => peer.close()), 150);
};
(async () => {
  await peers[0].setLocalDescription();
  await peers[1].setRemoteDescription(peers[0].localDescription);
  await peers[1].setLocalDescription();
  await peers[0].setRemoteDescription(peers[1].localDescription);
})();
</script>
"""


@capture(
    "webrtc/chromium-relayed.pcap",
    shows="Two peers of Chromium speak DTLS 1.3 through coturn: Send and Data indications at first, then channels.",
    tools=["chromium", "coturn"],
    fires=["cleartext-credentials"],
    silent=SOUND,
    expect=["stun.type == 0x0016", "stun.type == 0x0017", "stun.type == 0x0109", "stun.channel", "frame contains 2b:00:02:fe:fc"],
)
def chromium_relayed(lab):
    coturn(lab, *PASSWORD)
    page = lab.dir / "page.html"
    page.write_text(PAGE.replace("RELAY", v4(RELAY)).replace("USER", USER).replace("SECRET", SECRET))
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    words += [f"--user-data-dir={lab.dir}/chromium", "--autoplay-policy=no-user-gesture-required"]
    words += ["--force-fieldtrials=WebRTC-ForceDtls13/Enabled/", f"file://{page}"]
    with lab.recording(packets="udp port 3478"), running(lab, PHONE, "chromium", *words):
        time.sleep(4)
