//! The bounds of everything that grows with the traffic.

use std::time::Duration;

/// Bounds of the flow tables and of what is kept for a flow. What they drop is counted.
///
/// Limits "of a shard" hold for each of [`FlowLimits::SHARDS`] logical shards, so that they do not depend on how
/// many threads there are.
#[derive(Clone, Debug)]
pub struct FlowLimits {
    /// Open flows of a shard; the least recently used one is evicted.
    pub flows_per_shard: usize,
    /// Out-of-order bytes held for one direction of a flow.
    pub reassembly_per_direction: usize,
    /// Out-of-order bytes held in a shard.
    pub reassembly_per_shard: usize,
    /// Silence after which a TCP flow ends that was not closed. Push services keep flows silent for half an hour.
    pub tcp_idle: Duration,
    /// Silence after which a TCP flow ends whose handshake was not completed.
    pub tcp_half_open: Duration,
    /// How long stragglers are counted to a TCP flow after FIN or RST.
    pub tcp_linger: Duration,
    /// Silence after which a UDP flow ends.
    pub udp_idle: Duration,
    /// Silence after which any other flow ends.
    pub other_idle: Duration,
    /// Bytes that probes may see of a direction before the flow counts as unrecognised.
    pub probe_bytes: usize,
    /// Bytes that an analyzer may keep of a message that is not complete, e.g. a TLS handshake message.
    pub message_bytes: usize,
    /// Bytes of ciphertext of a shard that wait for a secret, while a key log grows.
    pub ciphertext_per_shard: usize,
    /// Sessions of a key log that are looked at for a flow with Encrypted Client Hello whose own is not there: about a
    /// microsecond each. Those of a day of browsing.
    pub trials_per_flow: usize,
    /// The same for all such flows of a shard: they are many where apps offer Encrypted Client Hello for show, and keep
    /// their secrets.
    pub trials_per_shard: usize,
    /// Observations kept for one flow.
    pub observations_per_flow: usize,
}

impl FlowLimits {
    /// Logical shards that flows are hashed into.
    pub const SHARDS: usize = 64;
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self {
            flows_per_shard: 4096,
            reassembly_per_direction: 1 << 20,
            reassembly_per_shard: 1 << 20,
            tcp_idle: Duration::from_secs(3600),
            tcp_half_open: Duration::from_secs(60),
            tcp_linger: Duration::from_secs(5),
            udp_idle: Duration::from_secs(60),
            other_idle: Duration::from_secs(60),
            probe_bytes: 1024,
            message_bytes: 256 << 10,
            ciphertext_per_shard: 4 << 20,
            trials_per_flow: 1 << 14,
            trials_per_shard: 1 << 16,
            observations_per_flow: 1024,
        }
    }
}
