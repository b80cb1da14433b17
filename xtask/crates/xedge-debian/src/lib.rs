//! Debian suites, package indexes, versions, a resolver and .deb reading, without network code.
