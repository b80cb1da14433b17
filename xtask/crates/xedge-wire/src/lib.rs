//! What a host and a device say to each other over one connection: messages, reports, and their framing. No I/O of its own.
//!
//! A frame is one line of JSON and, where the message says so, exactly that many raw bytes. The host asks and the device
//! answers; events may come before an answer.

mod frame;
mod message;
mod report;

pub use frame::{FrameError, MAX_LINE, read_line, write_line};
pub use message::{Event, Member, Problem, ToDevice, ToHost, Want};
pub use report::{
    Applied, DeviceFacts, DeviceStatus, EngineFacts, Health, Inventory, Measure, ReleaseSummary,
    ServiceStatus, StackStatus,
};

/// Version of this protocol. Both sides must have the same; a host replaces an agent that is older before anything else.
pub const WIRE: u32 = 1;
