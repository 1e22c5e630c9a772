//! CL MSS 5.6: the app handles the loss of the network in a secure manner.

mod cleartext_after_network_loss;

pub(super) use self::cleartext_after_network_loss::CleartextAfterNetworkLoss;
