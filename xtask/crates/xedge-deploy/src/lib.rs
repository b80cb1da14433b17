//! The host's side of a deployment: ssh, what a device lacks, and the thin transfer. Decides nothing that the device
//! decides, and knows no secret store.

mod bundle;
mod cancel;
mod contact;
mod deliver;
mod error;
mod host;
mod local;
mod plan;
mod preflight;
mod process;
mod session;
mod ssh;
mod transport;

pub use bundle::BundleFile;
pub use cancel::Cancel;
pub use contact::{Enrolment, Output, Place, accept, enrol, install, run};
pub use deliver::{Delivered, Delivery, Observer, Secrets, WAITS, deliver, persist};
pub use error::{Cause, Error, OtherRoot, Refused, Result};
pub use host::{BadHost, Host, check_user};
pub use local::Local;
pub use plan::{Line, TransferPlan, plan};
pub use preflight::{Finding, Needs, Probed, preflight};
pub use process::{Ended, Process};
pub use session::{Session, Wants};
pub use ssh::Ssh;
pub use transport::{Transport, words};
