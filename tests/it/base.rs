//! Images on existing ones: locked, fetched, layered, refused.

mod build;
mod lock;
mod made;
mod refused;
mod release;
