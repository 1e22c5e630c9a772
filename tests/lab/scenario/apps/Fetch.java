import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManagerFactory;

/** Fetches a URL over TLS: Fetch URL ROOTS. */
class Fetch {
    public static void main(String[] words) throws Exception {
        var roots = KeyStore.getInstance(KeyStore.getDefaultType());
        roots.load(null, null);
        try (var file = new FileInputStream(words[1])) {
            roots.setCertificateEntry("root", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(roots);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        var parameters = new SSLParameters(new String[] {
            "TLS_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        }, new String[] { "TLSv1.3", "TLSv1.2" });
        var client = HttpClient.newBuilder().sslContext(context).sslParameters(parameters).build();
        var request = HttpRequest.newBuilder(URI.create(words[0])).build();
        var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
        System.exit(answer.statusCode() == 200 ? 0 : 1);
    }
}
