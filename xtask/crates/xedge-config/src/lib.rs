//! Rendering of production configuration and the comparison of environments, without network.
