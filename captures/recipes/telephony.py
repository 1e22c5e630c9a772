"""Calls and streams without TLS: SIP and RTSP with logins, and the media that they agree on.

Servers of datagrams have the gateway's address: what they send comes from there, wherever they listen.
"""

import time
import wave

from .catalogue import capture
from .network import GATEWAY_V4, NET, PHONE, PHONE_V4, v4
from .vpn import running

CALLED, REGISTRAR = "chat.test", "proxy.test"
USER, SECRET = "anna", "not-a-secret"
DEVICES = {PHONE: "wlan0", NET: "up0"}
RULES = ["cleartext-credentials", "cleartext-protocol", "cleartext-unknown", "non-tls-encryption"]


def rules(*fires):
    """What fires of the rules on protocols, and what does not."""
    return {"fires": fires, "silent": [rule for rule in RULES if rule not in fires]}


# SIP

BARESIP = """
poll_method epoll
sip_listen {address}:5060
{security}
audio_source aufile,{tone}
audio_player aufile,{heard}
audio_alert nil,nil
net_interface {device}
rtp_ports 10000-10020
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module srtp.so
module_tmp account.so
module_app menu.so
"""


def baresip(lab, namespace, address, account, *words, until, security=""):
    """A telephone with a microphone that hears a tone."""
    home = lab.dir / f"baresip-{namespace}"
    home.mkdir(exist_ok=True)
    tone = home / "tone.wav"
    with wave.open(str(tone), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        # A triangle of 250 Hz, which any codec carries and no cipher puts out.
        for at in range(16000):
            file.writeframesraw((abs(at % 32 - 16) * 1000 - 8000).to_bytes(2, "little", signed=True))
    settings = {"tone": tone, "heard": home / "heard.wav", "security": security}
    (home / "config").write_text(BARESIP.format(address=address, device=DEVICES[namespace], **settings))
    (home / "accounts").write_text(account + "\n")
    return running(lab, namespace, "baresip", "-f", home, *words, until=until)


def call(file, shows, expect, *, encryption="", transport="udp", answers=True, forbid=(), fires=()):
    """Two telephones without anything between them."""

    @capture(f"telephony/{file}.pcap", shows=shows, tools=["baresip"], expect=expect, forbid=forbid, **rules(*fires))
    def record(lab):
        media = f";mediaenc={encryption}" if encryption else ""
        secure = ""
        if transport == "tls":
            identity = lab.pki.server(CALLED)
            chain = lab.dir / "telephone.pem"
            chain.write_bytes(identity.chain.read_bytes() + identity.key.read_bytes())
            secure = f"sip_certificate {chain}\nsip_cafile {lab.pki.root}"
        other = f"<sip:bob@{GATEWAY_V4};transport={transport}>;regint=0;answermode={'auto' if answers else 'manual'}{media}"
        own = f"<sip:{USER}@{PHONE_V4};transport={transport}>;regint=0{media}"
        target = f"sip:bob@{GATEWAY_V4}:{5061 if transport == 'tls' else 5060};transport={transport}"
        ready, rings = "baresip is ready", "Call established" if answers else "180 Ringing"
        with baresip(lab, NET, GATEWAY_V4, other, until=ready, security=secure), lab.recording():
            words = ["-e", f"/dial {target}"]
            with baresip(lab, PHONE, PHONE_V4, own, *words, until=rings, security=secure):
                time.sleep(0.45)

    record.__name__ = file.replace("-", "_")


call(
    "call-clear",
    "baresip calls baresip over UDP: SIP, and a tone as PCMU in RTP that anybody can hear.",
    ["sip.Method == INVITE", "udp.payload[0:2] == 80:00 || udp.payload[0:2] == 80:80"],
    fires=["cleartext-protocol"],
)
call(
    "call-sdes",
    "baresip calls baresip over UDP with SRTP, whose keys are in SIP for all to read (SDES).",
    ["sip.Method == INVITE", 'sdp.media_attr contains "crypto"'],
    encryption="srtp-mand",
    fires=["cleartext-protocol"],
)
call(
    "call-tls",
    "baresip calls baresip over TLS, which protects the keys of SRTP; its RTCP says goodbye and its name in the clear.",
    ["tls.handshake.type == 1", 'udp.payload contains "sip:anna@"'],
    encryption="srtp-mand",
    transport="tls",
    forbid=["sip"],
    fires=["cleartext-protocol"],
)
call(
    "call-tls-unanswered",
    "baresip calls baresip over TLS, and nobody answers: there is no media.",
    ["tls.handshake.type == 1"],
    encryption="srtp-mand",
    transport="tls",
    answers=False,
    forbid=["sip", "udp.srcport > 10000"],
)

KAMAILIO = """
log_stderror=yes
children=1
listen=udp:{address}:5060
listen=tcp:{address}:5060
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "auth.so"
request_route {{
    if (!pv_www_authenticate("proxy.test", "{secret}", "0")) {{
        www_challenge("proxy.test", "1");
        exit;
    }}
    sl_send_reply("200", "OK");
}}
"""


def registration(transport):
    """A telephone registers with kamailio."""

    @capture(
        f"telephony/register-{transport}.pcap",
        shows=f"baresip registers with kamailio over {transport.upper()}, and answers its challenge (digest).",
        tools=["baresip", "kamailio"],
        expect=["sip.Method == REGISTER", "sip.Status-Code == 401", "sip.auth.username"],
        **rules("cleartext-credentials", "cleartext-protocol"),
    )
    def record(lab):
        settings = lab.dir / "kamailio.cfg"
        settings.write_text(KAMAILIO.format(address=v4(REGISTRAR), secret=SECRET))
        run = lab.dir / "kamailio"
        run.mkdir(exist_ok=True)
        lab.serve("kamailio", "-DD", "-E", "-f", settings, "-Y", run, port=5060, udp=5060)
        login = f"auth_user={USER};auth_pass={SECRET}"
        account = f'<sip:{USER}@{v4(REGISTRAR)};transport={transport}>;{login};regint=600'
        with lab.recording():
            with baresip(lab, PHONE, PHONE_V4, account, until="200 OK"):
                pass

    record.__name__ = f"register_{transport}"


registration("udp")
registration("tcp")


# RTSP

# A camera that shows itself to who knows the password, with a tone in place of a picture.
SERVER = """
import sys, gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer
address, method, name, secret = sys.argv[1:]
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address(address)
server.set_service("8554")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch("( audiotestsrc is-live=true ! audio/x-raw,rate=8000 ! alawenc ! rtppcmapay name=pay0 max-ptime=20000000 )")
if method != "none":
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth = GstRtspServer.RTSPAuth()
    if method == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(name, secret, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(name, secret), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)
server.get_mount_points().add_factory("/tone", factory)
server.attach(None)
print("serving", flush=True)
GLib.MainLoop().run()
"""


def stream(file, shows, method, protocol, expect, *fires):
    """GStreamer's client plays a stream of its server for a moment."""

    @capture(
        f"telephony/{file}.pcap", shows=shows, tools=["gst-launch-1.0", "gst-rtsp-server"], expect=expect, **rules(*fires)
    )
    def record(lab):
        words = ["/usr/bin/python3", "-c", SERVER, GATEWAY_V4, method, USER, SECRET]
        login = "" if method == "none" else f"{USER}:{SECRET}@"
        url = f"rtsp://{login}{GATEWAY_V4}:8554/tone"
        with running(lab, NET, *words, until="serving"), lab.recording():
            source = ["rtspsrc", f"location={url}", f"protocols={protocol}", "latency=0"]
            lab.phone("gst-launch-1.0", "-q", *source, "!", "fakesink", "num-buffers=24")

    record.__name__ = file.replace("-", "_")


stream(
    "rtsp-basic-udp",
    "GStreamer plays a stream over RTSP with a password in the clear; its tone comes as PCMA in RTP over UDP.",
    "basic",
    "udp",
    ['rtsp.request contains "PLAY"', 'tcp.payload contains "Basic YW5uYTpub3QtYS1zZWNyZXQ="', "udp.payload[0:1] == 80"],
    "cleartext-credentials",
    "cleartext-protocol",
)
stream(
    "rtsp-digest-tcp",
    "GStreamer plays a stream over RTSP with a digest of the password; its tone comes within the same connection.",
    "digest",
    "tcp",
    ['rtsp.request contains "PLAY"', 'tcp.payload contains "Digest username"'],
    "cleartext-credentials",
    "cleartext-protocol",
)
stream(
    "rtsp-open",
    "GStreamer plays a stream over RTSP that asks for no password.",
    "none",
    "udp",
    ['rtsp.request contains "PLAY"'],
    "cleartext-protocol",
)
