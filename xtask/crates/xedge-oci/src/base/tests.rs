//! Bases: what is read of them, what is refused, and what comes on top.
