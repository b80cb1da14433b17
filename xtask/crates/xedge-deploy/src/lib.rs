//! The host's side of a deployment: ssh, what a device lacks, and the thin transfer. Decides nothing that the device
//! decides, and knows no secret store.
