"""What devices ask of the network itself: the time, an address, names of neighbours, and whether it leads anywhere."""

import contextlib

from . import capfile, dialects
from .catalogue import capture
from .network import GATEWAY_V4, NET, PHONE, run, v4
from .owners import APPS, SHOP, SYSTEM
from .vpn import running

SILENT = ["cleartext-protocol", "cleartext-unknown", "non-tls-encryption"]
EVERYBODY = "10.215.173.255"


@capture(
    "infrastructure/ntp.pcap",
    shows="chronyd asks chronyd for the time (NTP version 4).",
    tools=["chronyd"],
    silent=SILENT,
    expect=["ntp.flags.mode == 3", "ntp.flags.mode == 4"],
)
def ntp(lab):
    common = ["-d", "-x", "-u", "root", "-F", "0"]
    files = ["cmdport 0", "bindcmdaddress /", f"driftfile {lab.dir}/drift"]
    serve = [*files, f"pidfile {lab.dir}/chronyd-net.pid", "local stratum 3", "allow", f"bindaddress {v4('news.test')}"]
    lab.serve("chronyd", *common, *serve, udp=123)
    ask = [*files, f"pidfile {lab.dir}/chronyd-phone.pid", f"server {v4('news.test')} iburst maxsamples 2"]
    with lab.recording():
        lab.phone("chronyd", *common, "-Q", "-t", "4", *ask)


@capture(
    "infrastructure/dhcp.pcap",
    shows="udhcpc asks dnsmasq for an address and gets one.",
    tools=["udhcpc", "dnsmasq"],
    silent=SILENT,
    expect=["dhcp.option.dhcp == 1", "dhcp.option.dhcp == 5"],
)
def dhcp(lab):
    answers = ["--dhcp-range=10.215.173.100,10.215.173.110", f"--dhcp-leasefile={lab.dir}/leases", "--no-ping"]
    dnsmasq(lab, *answers, udp=67)
    with lab.recording():
        lab.phone("udhcpc", "-i", "wlan0", "-n", "-q", "-f", "-s", "/bin/true")


@capture(
    "infrastructure/dhcpv6.pcap",
    shows="dhclient asks dnsmasq for an address of IPv6 and gets one.",
    tools=["dhclient", "dnsmasq"],
    silent=SILENT,
    expect=["dhcpv6.msgtype == 1", "dhcpv6.msgtype == 7"],
)
def dhcpv6(lab):
    answers = ["--dhcp-range=fd00:215::100,fd00:215::110,64", f"--dhcp-leasefile={lab.dir}/leases-v6"]
    with contextlib.ExitStack() as stack:
        for side, device, address in ((PHONE, "wlan0", "fe80::1"), (NET, "up0", "fe80::fe")):
            run("ip", "-n", side, "addr", "add", f"{address}/64", "dev", device, "nodad")
            stack.callback(lab.exec, side, "ip", "addr", "del", f"{address}/64", "dev", device)
        dnsmasq(lab, *answers, udp=547)
        files = ["-lf", lab.dir / "lease-v6", "-pf", lab.dir / "dhclient.pid", "-cf", "/dev/null"]
        with lab.recording():
            with running(lab, PHONE, "dhclient", "-6", "-1", "-d", "-sf", "/bin/true", *files, "wlan0", until="Reply"):
                pass


def dnsmasq(lab, *options, udp):
    """dnsmasq on the gateway, for addresses alone."""
    own = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file="]
    lab.serve("dnsmasq", *own, "--interface=up0", "--bind-interfaces", *options, udp=udp)


SAMBA = """
[global]
netbios name = {name}
workgroup = LAB
interfaces = {device}
bind interfaces only = yes
lock directory = {dir}
state directory = {dir}
cache directory = {dir}
pid directory = {dir}
private dir = {dir}
ncalrpc dir = {dir}
log file = {dir}/log
"""


@capture(
    "infrastructure/netbios.pcap",
    shows="nmblookup asks all neighbours for a name, and nmbd has it; nmbd tells the neighbours of itself.",
    tools=["nmblookup", "nmbd"],
    silent=SILENT,
    expect=["nbns.flags.response == 0", "nbns.flags.response == 1", "nbdgm"],
)
def netbios(lab):
    settings = {}
    for side, name, device in ((PHONE, "PHONE", "wlan0"), (NET, "PRINTER", "up0")):
        folder = lab.dir / f"samba-{side}"
        folder.mkdir(exist_ok=True)
        settings[side] = folder / "smb.conf"
        settings[side].write_text(SAMBA.format(name=name, device=device, dir=folder))
    with lab.recording():
        lab.serve("nmbd", "-F", "--no-process-group", "-s", settings[NET], udp=137)
        for _ in range(20):
            asked = lab.exec(PHONE, "nmblookup", "-s", settings[PHONE], "-B", EVERYBODY, "PRINTER")
            if asked.returncode == 0:
                break


DEVICE = """
import asyncio, xml.etree.ElementTree as xml
from async_upnp_client.client import UpnpRequester
from async_upnp_client.const import DeviceInfo
from async_upnp_client.server import SsdpSearchResponder, UpnpServerDevice

class Printer(UpnpServerDevice):
    DEVICE_DEFINITION = DeviceInfo(
        device_type="urn:schemas-upnp-org:device:Printer:1", friendly_name="Printer", manufacturer="Lab",
        manufacturer_url=None, model_description=None, model_name="P1", model_number=None, model_url=None,
        serial_number=None, udn="uuid:a2d2f8ac-0000-4a6b-9c53-1f5d2e6b8c90", upc=None, presentation_url=None,
        url="/device.xml", icons=[], xml=xml.Element("server"),
    )
    EMBEDDED_DEVICES, SERVICES = [], []

class Nobody(UpnpRequester):
    async def async_http_request(self, http_request):
        raise NotImplementedError

async def main():
    device = Printer(Nobody(), "http://ADDRESS:8000")
    responder = SsdpSearchResponder(device, source=("ADDRESS", 0))
    await responder.async_start()
    print("answering", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
""".replace("ADDRESS", GATEWAY_V4)


@capture(
    "infrastructure/ssdp.pcap",
    shows="A search for UPnP devices by upnp-client, and a device's answers.",
    tools=["upnp-client", "async-upnp-client"],
    silent=SILENT,
    expect=['udp.payload contains "M-SEARCH * HTTP/1.1"', 'udp.payload contains "HTTP/1.1 200 OK"'],
)
def ssdp(lab):
    words = [lab.venv / "bin/python", "-c", DEVICE]
    search = ["--timeout", "2", "search", "--search_target", "upnp:rootdevice"]
    with running(lab, NET, *words, until="answering"), lab.recording():
        lab.phone(lab.venv / "bin/upnp-client", *search)


def connectivity(who, uid, shows):
    """The look-up whether there is an Internet, in PCAPdroid's words for whose it is."""

    @capture(
        f"infrastructure/check-by-{who}.pcap",
        shows=shows,
        tools=["curl", "nginx", "netfilter log"],
        how="converted",
        fires=["cleartext-http"],
        silent=SILENT,
        expect=['http.request.uri == "/generate_204"'],
    )
    def record(lab):
        host = "connectivitycheck.gstatic.com"
        lab.nginx(lab.plain_http(host, body="return 204;"))
        with lab.owners() as log, lab.recording(file=lab.temporary("wire.pcap")) as wire:
            lab.curl("-4", f"http://{host}/generate_204", uid=uid)
        ownership = dialects.Ownership(dialects.owners_of(capfile.read(log)))
        frames = dialects.without_ethernet(capfile.read(wire))
        lab.out.write_bytes(dialects.pcapdroid_trailer(frames, ownership, APPS))

    record.__name__ = f"check_by_{who}"


connectivity("app", SHOP, "An app asks by HTTP whether there is an Internet: the finding is the app's.")
connectivity("platform", SYSTEM, "Android asks by HTTP whether there is an Internet: the finding is no app's.")
