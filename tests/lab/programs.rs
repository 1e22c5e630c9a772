//! Real clients against real servers, and what selects among them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::capture::{Capture, Ended};
use crate::network::{APPS, INTERFACE, Network, PEERS};

/// nginx, openssl s_server and dnsmasq on the side of the peers; they go away with it.
struct Servers(Vec<Child>);

impl Servers {
    fn start(network: &Network) -> Self {
        let folder = network.folder.path();
        let path = |name: &str| folder.join(name).display().to_string();
        let (key, certificate) = (path("key.pem"), path("certificate.pem"));
        let words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let mut request = Command::new("openssl");
        request.args(words).args(["-subj", "/CN=lab.example", "-keyout", &key, "-out", &certificate]);
        assert!(request.stderr(Stdio::null()).status().expect("openssl").success());
        let [four, six] = PEERS;
        let configuration = format!(
            "daemon off; master_process off; user root; pid {pid}; error_log stderr crit; events {{}}\n\
             http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;\n\
             fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n\
             server {{ listen {four}:443 ssl; listen [{six}]:443 ssl; listen {four}:80;\n\
             ssl_certificate {certificate}; ssl_certificate_key {key}; return 200 hello; }} }}\n",
            pid = path("nginx.pid"),
            folder = folder.display(),
        );
        fs::write(folder.join("nginx.conf"), configuration).expect("a new file");
        let mut children = Vec::new();
        for words in [
            &["nginx", "-c", &path("nginx.conf")][..],
            &[
                "openssl",
                "s_server",
                "-quiet",
                "-accept",
                "4433",
                "-key",
                &key,
                "-cert",
                &certificate,
                "-www",
            ],
            &["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]
                [..],
        ] {
            let mut command = network.peer(words[0]);
            command.args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null());
            if words[0] == "dnsmasq" {
                command.arg(format!("--address=/lab.example/{four}")).arg(format!("--listen-address={four}"));
            }
            children.push(command.spawn().expect("nsenter"));
        }
        let begun = Instant::now();
        let listening = |port: u16| {
            let script = format!("exec 3<>/dev/tcp/{four}/{port}");
            let mut command = network.peer("bash");
            command.args(["-c", &script]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        while ![443, 4433, 53].into_iter().all(listening) {
            assert!(begun.elapsed() < Duration::from_secs(20), "the servers do not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(children)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A program that is there, or a loud line.
fn find(test: &str, program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if !found {
        observer_tests::skip(&format!("{test}: {program}"), "is not installed");
    }
    found
}

const NODE: &str = "const socket = require('tls').connect({ host: process.argv[1], port: 443, rejectUnauthorized: false }, () => {
  socket.write('GET / HTTP/1.0\\r\\n\\r\\n'); });
socket.on('data', () => { console.log(socket.localPort); socket.destroy(); });";

const PYTHON: &str = "import socket, ssl, sys
context = ssl._create_unverified_context()
with context.wrap_socket(socket.create_connection((sys.argv[1], 443))) as stream:
    stream.send(b'GET / HTTP/1.0\\r\\n\\r\\n')
    stream.recv(1000)
    print(stream.getsockname()[1])";

const JAVA: &str = "import javax.net.ssl.*;
class Client {
    public static void main(String[] words) throws Exception {
        var all = new X509ExtendedTrustManager() {
            public void checkClientTrusted(java.security.cert.X509Certificate[] c, String a) {}
            public void checkServerTrusted(java.security.cert.X509Certificate[] c, String a) {}
            public void checkClientTrusted(java.security.cert.X509Certificate[] c, String a, java.net.Socket s) {}
            public void checkServerTrusted(java.security.cert.X509Certificate[] c, String a, java.net.Socket s) {}
            public void checkClientTrusted(java.security.cert.X509Certificate[] c, String a, SSLEngine e) {}
            public void checkServerTrusted(java.security.cert.X509Certificate[] c, String a, SSLEngine e) {}
            public java.security.cert.X509Certificate[] getAcceptedIssuers() { return null; }
        };
        var context = SSLContext.getInstance(\"TLS\");
        context.init(null, new TrustManager[] { all }, null);
        try (var socket = context.getSocketFactory().createSocket(words[0], 443)) {
            socket.getOutputStream().write(\"GET / HTTP/1.0\\r\\n\\r\\n\".getBytes());
            socket.getInputStream().read();
            System.out.println(socket.getLocalPort());
        }
    }
}
";

/// A client: its user, the command, the transport, and its port, where it does not print it.
struct Client {
    program: &'static str,
    uid: u32,
    words: Vec<String>,
    port: Option<u16>,
    transport: &'static str,
}

fn clients(folder: &Path) -> Vec<Client> {
    let [four, six] = PEERS;
    let java = folder.join("Client.java");
    fs::write(&java, JAVA).expect("a new file");
    let client = |program, uid, transport, port, words: &[&str]| Client {
        program,
        uid,
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        port,
        transport,
    };
    let curl = ["-sk", "-o", "/dev/null", "-w", "%{local_port}"];
    let (https4, https6) = (format!("https://{four}/"), format!("https://[{six}]/"));
    let bound = format!("{}:46002", APPS[0]);
    let server = format!("{four}:4433");
    let (at, from) = (format!("@{four}"), format!("{}#46006", APPS[0]));
    vec![
        client("curl", 10201, "tcp", None, &[&curl[..], &[https4.as_str()]].concat()),
        client("curl", 10207, "tcp", None, &[&curl[..], &[https6.as_str()]].concat()),
        client("openssl", 10202, "tcp", Some(46002), &["s_client", "-connect", &server, "-bind", &bound]),
        client("node", 10203, "tcp", None, &["-e", NODE, four]),
        client(
            "java",
            10204,
            "tcp",
            None,
            &["-Xshare:auto", "-XX:TieredStopAtLevel=1", &java.display().to_string(), four],
        ),
        client("/usr/bin/python3", 10205, "tcp", None, &["-c", PYTHON, four]),
        client("dig", 10206, "udp", Some(46006), &["+short", "-b", &from, &at, "lab.example"]),
    ]
}

/// Runs the clients at once; the user, transport and port of each.
fn visit(network: &Network, test: &str) -> Vec<(u32, &'static str, u16)> {
    let mut running = Vec::new();
    for client in clients(network.folder.path()) {
        if find(test, client.program.trim_start_matches("/usr/bin/")) {
            let mut command = network.app_as(client.uid, client.program);
            command.args(&client.words).stdout(Stdio::piped()).stderr(Stdio::piped());
            running.push((command.env("HOME", "/").spawn().expect("nsenter"), client));
        }
    }
    let mut flows = Vec::new();
    for (child, client) in running {
        let output = child.wait_with_output().expect("a child");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", client.program);
        let printed = String::from_utf8_lossy(&output.stdout);
        let port = client.port.or_else(|| printed.trim().parse().ok());
        flows.push((client.uid, client.transport, port.unwrap_or_else(|| panic!("{printed} {stderr}"))));
    }
    flows
}

/// Users of flows between the apps and the peers by transport and port of the app.
fn owner(ended: &Ended, transport: &str, port: u16) -> Option<Value> {
    let flows = ended.of_type("flow");
    let flow = flows
        .iter()
        .find(|flow| flow["source"]["port"] == port && flow["network"]["transport"] == transport)?;
    Some(flow["owner"].clone())
}

#[test]
fn the_clients_of_real_servers_are_told_apart() {
    const TEST: &str = "the_clients_of_real_servers_are_told_apart";
    let Some(network) = Network::or_skip(TEST) else { return };
    let _servers = Servers::start(&network);
    let capture = Capture::start(&network, &["-i", INTERFACE]);
    let flows = visit(&network, TEST);
    let ended = capture.interrupt();
    assert!(flows.len() >= 4, "{flows:?}");
    for (uid, transport, port) in flows {
        let owner = owner(&ended, transport, port);
        assert_eq!(owner.map(|owner| owner["uid"].clone()), Some(uid.into()), "{transport} port {port}");
    }
}

#[test]
fn whoever_a_resolver_asks_for_connects_next() {
    const TEST: &str = "whoever_a_resolver_asks_for_connects_next";
    let Some(network) = Network::or_skip(TEST) else { return };
    if !find(TEST, "dig") {
        return;
    }
    let _servers = Servers::start(&network);
    let [four, _] = PEERS;
    let mut resolver = network.app("dnsmasq");
    resolver.args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]);
    resolver.args(["--listen-address=127.0.0.1", "--bind-interfaces", &format!("--server={four}")]);
    let resolver = resolver.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("dnsmasq");
    let _resolver = Servers(vec![resolver]);
    let begun = Instant::now();
    let listens = "exec 3<>/dev/tcp/127.0.0.1/53";
    while !network.app("bash").args(["-c", listens]).stderr(Stdio::null()).status().expect("bash").success() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the resolver does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let capture = Capture::start(&network, &["-i", INTERFACE]);
    let script = "curl -s -o /dev/null --local-port 46030 http://$(dig @127.0.0.1 +short lab.example)/";
    let asked = network.app_as(10_207, "bash").args(["-c", script]).status().expect("bash");
    assert!(asked.success());
    let ended = capture.interrupt();
    let flows = ended.of_type("flow");
    let question =
        flows.iter().find(|flow| flow["network"]["protocol"] == "dns").expect("the resolver's own");
    let (owner, others) = (&question["owner"], &question["other_owners"]);
    assert_eq!(
        (&owner["uid"], &owner["confidence"]),
        (&Value::from(10_207), &Value::from("inferred")),
        "{owner}"
    );
    assert!(others[0]["process"].as_str().is_some_and(|process| process.ends_with("dnsmasq")), "{others}");
}

#[test]
fn a_process_is_chosen_by_its_name() {
    const TEST: &str = "a_process_is_chosen_by_its_name";
    let Some(network) = Network::or_skip(TEST) else { return };
    let _servers = Servers::start(&network);
    let capture = Capture::start(&network, &["-i", INTERFACE, "--process", "openssl"]);
    // It stays for as long as its input does: whoever looks for processes finds it.
    let held = "sleep 1 | openssl s_client -connect 10.77.0.2:4433 -bind 10.77.0.1:46010";
    let mut openssl = network.app_as(10_202, "bash");
    openssl.args(["-c", held]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut curl = network.app_as(10_201, "curl");
    curl.args(["-sk", "-o", "/dev/null", "https://10.77.0.2/"]);
    assert!(openssl.status().expect("bash").success() && curl.status().expect("curl").success());
    let ended = capture.interrupt();
    let flows = ended.of_type("flow");
    let ports: Vec<_> = flows.iter().filter_map(|flow| flow["source"]["port"].as_u64()).collect();
    assert_eq!(ports, [46_010], "{flows:?}");
}

#[test]
fn a_command_is_observed_and_nothing_else() {
    let Some(network) = Network::or_skip("a_command_is_observed_and_nothing_else") else { return };
    let _servers = Servers::start(&network);
    // Others are at work before, while and after the command runs.
    let other = "for i in {1..100}; do curl -sk -o /dev/null https://10.77.0.2/; sleep 0.05; done";
    let mut others = network.app_as(10_201, "bash").args(["-c", other]).spawn().expect("bash");
    let script = "curl -sk -o /dev/null --local-port 46020 https://10.77.0.2/; \
                  bash -c 'curl -sk -o /dev/null --local-port 46021 https://10.77.0.2/ & wait'; sleep 0.3; exit 7";
    let mut command = network.app(crate::capture::OBSERVER);
    command.args(["capture", "--format", "jsonl", "--fail-on", "never", "-i", INTERFACE, "--"]);
    command.args(["bash", "-c", script]);
    let ended = Capture::spawn(&network, &mut command).ended();
    let _ = others.kill();
    let _ = others.wait();
    // What was ending as the capture began belongs to nobody who can be told from the command.
    let flows = ended.of_type("flow").into_iter().filter(|flow| flow["owner"].is_object());
    let mut ports: Vec<_> = flows.filter_map(|flow| flow["source"]["port"].as_u64()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [46_020, 46_021], "{} {:?}", ended.stderr, ended.of_type("flow"));
    let notes = ended.one("summary")["notes"].to_string();
    assert!(notes.contains("exit status: 7"), "{notes}");
}
