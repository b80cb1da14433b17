//! The client against a registry on the loopback that fails on order. No other host is ever talked to.

mod artifacts;
mod credentials;
mod downloads;
mod fake;
mod pushes;
mod reads;
mod setbacks;
mod support;
