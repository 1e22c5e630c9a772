//! Any bytes are taken as a certificate without a panic, and the same bytes give the same answer, cached or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer::protocol::tls::CertificateCache;

fuzz_target!(|data: &[u8]| {
    let mut cache = CertificateCache::default();
    let first = cache.parse(data);
    assert_eq!(first, cache.parse(data));
    assert_eq!(first, CertificateCache::default().parse(data));
    assert_eq!(first.der, data);
});
