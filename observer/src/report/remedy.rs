//! What an Android developer does about a finding.
//!
//! Sources: developer.android.com, "Network security configuration" (what it governs, pins and their expiry, trust
//! anchors, `debug-overrides`), and the standards that each rule names.

/// What to do about a rule's findings.
#[derive(Debug, PartialEq, Eq)]
pub struct Remedy {
    /// The rules that it is for.
    rules: &'static [&'static str],
    /// What to do, in a few sentences.
    pub text: &'static str,
    /// A configuration or code to start from; `HOST` stands for the finding's host. Empty where none helps.
    snippet: &'static str,
}

impl Remedy {
    /// The snippet for `host`; where that is no plain name, for `api.example.com`.
    #[must_use]
    pub fn snippet(&self, host: Option<&str>) -> Option<String> {
        let is_name = |host: &&str| {
            host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
                && host.chars().any(|c| c.is_ascii_alphabetic())
        };
        let host = host.filter(is_name).unwrap_or("api.example.com");
        (!self.snippet.is_empty()).then(|| self.snippet.replace("HOST", host))
    }
}

/// What to do about the findings of the rule called `rule`.
#[must_use]
pub fn remedy(rule: &str) -> Option<&'static Remedy> {
    REMEDIES.iter().find(|remedy| remedy.rules.contains(&rule))
}

const NO_CLEARTEXT: &str = "\
<!-- res/xml/network_security_config.xml, named in AndroidManifest.xml by
     <application android:networkSecurityConfig=\"@xml/network_security_config\"> -->
<network-security-config>
    <base-config cleartextTrafficPermitted=\"false\" />
</network-security-config>";

const SYSTEM_TRUST: &str = "\
<!-- res/xml/network_security_config.xml -->
<network-security-config>
    <base-config cleartextTrafficPermitted=\"false\">
        <trust-anchors>
            <certificates src=\"system\" />
        </trust-anchors>
    </base-config>
    <debug-overrides>
        <trust-anchors>
            <!-- Authorities of testers, in debuggable builds only. -->
            <certificates src=\"user\" />
        </trust-anchors>
    </debug-overrides>
</network-security-config>";

const PINS: &str = "\
<!-- res/xml/network_security_config.xml; a pin is the SHA-256 of the SubjectPublicKeyInfo in base64 -->
<network-security-config>
    <domain-config cleartextTrafficPermitted=\"false\">
        <domain includeSubdomains=\"true\">HOST</domain>
        <pin-set expiration=\"YYYY-MM-DD\">
            <pin digest=\"SHA-256\">the key in use</pin>
            <pin digest=\"SHA-256\">the backup key, kept offline</pin>
        </pin-set>
    </domain-config>
</network-security-config>";

const CLIENT_KEY: &str = "\
// The key is generated in, or imported into, the Android Keystore.
val keyStore = KeyStore.getInstance(\"AndroidKeyStore\").apply { load(null) }
val keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm())
    .apply { init(keyStore, null) }
val tls = SSLContext.getInstance(\"TLS\").apply { init(keys.keyManagers, null, null) }";

const REMEDIES: &[Remedy] = &[
    Remedy {
        rules: &[
            "cleartext-http",
            "cleartext-secret-in-url",
            "mixed-protection-host",
            "mixed-protection-domain",
            "cleartext-first-then-redirect",
        ],
        text: "Write the URL with https, in code, resources and what the backend hands out. Then forbid cleartext for the \
            whole app, so that a forgotten URL fails in the test: the platform's HTTP clients, OkHttp and WebView obey; \
            sockets that are opened by hand, and native code, do not. Secrets that went out in the clear are known: \
            replace them.",
        snippet: NO_CLEARTEXT,
    },
    Remedy {
        rules: &["cleartext-credentials"],
        text: "Send credentials over TLS only, and replace those that went out in the clear. Where the protocol has a \
            port of its own for TLS, or STARTTLS, demand it in the client and give up when the server refuses.",
        snippet: NO_CLEARTEXT,
    },
    Remedy {
        rules: &["cleartext-websocket"],
        text: "Open the WebSocket with wss. Forbid cleartext for the whole app; WebView and OkHttp obey.",
        snippet: NO_CLEARTEXT,
    },
    Remedy {
        rules: &["cleartext-protocol", "cleartext-unknown"],
        text: "Find out which component or library opens this connection, and give it an SSLSocket or its own option for \
            TLS. Sockets that are opened by hand and native code do not obey the network security configuration.",
        snippet: "",
    },
    Remedy {
        rules: &["non-tls-encryption"],
        text: "Find out which component sends this and how it protects it. What an app or a library encrypts by its own \
            means has to be judged by hand; TLS around it settles the question.",
        snippet: "",
    },
    Remedy {
        rules: &["null-or-anonymous-cipher"],
        text: "Remove the list of cipher suites from the client: the platform's default has none without encryption or \
            authentication. Remove them on the server as well.",
        snippet: "",
    },
    Remedy {
        rules: &[
            "tls-version-negotiated",
            "tls-version-offered",
            "weak-cipher-negotiated",
            "weak-cipher-offered",
            "weak-group",
            "weak-signature",
            "tls-compression",
            "insecure-renegotiation",
            "no-extended-master-secret",
        ],
        text: "Bring the server to TLS 1.2 and 1.3 with forward-secret AEAD suites (RFC 9325). In the app, use the \
            platform's TLS without own lists of versions or suites, or bring the library that it ships up to date; \
            on old devices, let the security provider of Google Play services be installed at start.",
        snippet: "",
    },
    Remedy {
        rules: &["weaker-than-platform"],
        text: "The app offers less than the platform's own TLS: it ships an older library or narrows the offer. Use the \
            platform's TLS, or update the library and remove own lists of versions and suites.",
        snippet: "",
    },
    Remedy {
        rules: &["missing-sni"],
        text: "Connect by name, not by address, and let the TLS library know the name: SSLSocketFactory.createSocket with \
            the host, or SSLParameters.setServerNames. Without it the name is often not verified, either: check that.",
        snippet: "",
    },
    Remedy {
        rules: &[
            "insecure-cookie",
            "missing-csp",
            "missing-hsts",
            "missing-nosniff",
            "http-to-https-redirect-without-hsts",
            "weak-hsts",
        ],
        text: "Set the header on the backend, in every response and not just in those to browsers; the values that OWASP's \
            Secure Headers project recommends are a good start.",
        snippet: "\
Strict-Transport-Security: max-age=31536000; includeSubDomains
X-Content-Type-Options: nosniff
Content-Security-Policy: default-src 'self'
Set-Cookie: …; Secure; HttpOnly; SameSite=Lax",
    },
    Remedy {
        rules: &["redirect-to-cleartext"],
        text: "Change the target of the redirect on the server to https. Make the client refuse redirects that leave TLS \
            (OkHttp: followSslRedirects(false)), and forbid cleartext for the whole app.",
        snippet: NO_CLEARTEXT,
    },
    Remedy {
        rules: &["cleartext-on-tls-port"],
        text: "Something speaks without TLS on a port that is meant for it. Check the scheme of the URL and the options of \
            the client.",
        snippet: "",
    },
    Remedy {
        rules: &["starttls-not-used", "starttls-stripped"],
        text: "Make TLS a demand of the client, not an offer: it must give up where the server does not offer STARTTLS, \
            refuses it or answers something else. Better still, use the port on which TLS comes first (RFC 8314 for mail).",
        snippet: "",
    },
    Remedy {
        rules: &["tls-failure-then-cleartext", "cleartext-after-network-loss", "version-downgrade-retry"],
        text: "Remove the fallback: when TLS fails, the request fails. Search for code that catches SSLException or \
            IOException and tries again with http or an older version, and for libraries that do so by option.",
        snippet: NO_CLEARTEXT,
    },
    Remedy {
        rules: &[
            "accepted-self-signed",
            "accepted-untrusted-chain",
            "accepted-expired",
            "accepted-name-mismatch",
        ],
        text: "Remove every X509TrustManager, HostnameVerifier and onReceivedSslError of the app's own that lets things \
            pass, and those of its libraries. Trust in an authority of your own is declared, not programmed: add it to \
            trust-anchors, for its domains alone.",
        snippet: SYSTEM_TRUST,
    },
    Remedy {
        rules: &["accepted-weak-certificate"],
        text: "Replace the server's certificate by one with a key of at least 2048 bits RSA or 256 bits EC, signed with \
            SHA-256 or better.",
        snippet: "",
    },
    Remedy {
        rules: &["accepted-test-ca", "accepted-unpinned-key"],
        text: "Pin the server's key, with at least one backup key, or limit trust to an authority of your own. Pins in the \
            network security configuration hold for the platform's clients and OkHttp; a library with its own TLS needs \
            its own pins.",
        snippet: PINS,
    },
    Remedy {
        rules: &["server-key-changed"],
        text: "Compare with the plan for the rotation of keys: was the change planned, and was a backup pin in the app \
            before it?",
        snippet: PINS,
    },
    Remedy {
        rules: &[
            "client-certificate-missing",
            "client-certificate-declined",
            "client-certificate-cleartext-only",
        ],
        text: "Give the TLS client the app's key and certificate, for every connection to this host (also those of libraries \
            and WebView: onReceivedClientCertRequest). On the server, refuse clients that send none. Use TLS 1.3, so that \
            the certificate does not cross the network in the clear.",
        snippet: CLIENT_KEY,
    },
    Remedy {
        rules: &["undeclared-endpoint"],
        text: "Find out which component speaks to this host. Declare the endpoint in the policy, or remove the component.",
        snippet: "",
    },
    Remedy {
        rules: &["listening-port"],
        text: "Bind to the loopback address, or better use a Unix socket or a bound service. Whatever stays open needs \
            authentication: every app on the device and every neighbour in the network can connect.",
        snippet: "",
    },
    Remedy {
        rules: &["port-scan"],
        text: "Find the component that looks for hosts or ports. Discovery of devices uses mDNS or the platform's \
            NsdManager, and says so to the user.",
        snippet: "",
    },
    Remedy {
        rules: &["policy-expired-exception"],
        text: "Remove the cause, or renew the exception in the policy with a new reason and a new end.",
        snippet: "",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RULES;

    #[test]
    fn every_rule_has_one_remedy_and_every_remedy_a_rule() {
        for rule in RULES.iter().map(|rule| rule.info().id) {
            let found = REMEDIES.iter().filter(|remedy| remedy.rules.contains(&rule)).count();
            assert_eq!(found, 1, "{rule}");
        }
        for name in REMEDIES.iter().flat_map(|remedy| remedy.rules) {
            assert!(RULES.iter().any(|rule| rule.info().id == *name), "{name} is no rule");
        }
    }

    #[test]
    fn a_snippet_names_the_host_only_if_it_is_a_name() {
        let pins = remedy("accepted-unpinned-key").unwrap();
        let names = |host: Option<&str>| {
            let snippet = pins.snippet(host).unwrap();
            snippet.split_once("includeSubdomains=\"true\">").unwrap().1.split_once('<').unwrap().0.to_owned()
        };
        assert_eq!(names(Some("shop.test")), "shop.test");
        for no_name in [None, Some("203.0.113.9"), Some("a</domain>"), Some("[::1]"), Some("x y")] {
            assert_eq!(names(no_name), "api.example.com", "{no_name:?}");
        }
        assert_eq!(remedy("listening-port").unwrap().snippet(None), None);
    }
}
