//! Keys and signatures that are made on the host.
