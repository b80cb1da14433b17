//! Deterministic OCI layers, configs, manifests and layouts, without network or async.
