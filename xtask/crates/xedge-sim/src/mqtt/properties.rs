//! The properties of MQTT 5 (v5 2.2.2): all are read and checked for their type, the few that matter here are handed on.

use super::decode::Malformed;
use super::fields::Fields;

/// How long the broker keeps a session.
pub(super) const SESSION_EXPIRY: u8 = 0x11;
/// Keep-alive that the broker wants.
pub(super) const KEEP_ALIVE: u8 = 0x13;
/// How many messages may be on their way at once.
pub(super) const RECEIVE_MAXIMUM: u8 = 0x21;

/// The properties that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Properties {
    pub(super) session_expiry_s: Option<u32>,
    pub(super) keep_alive_s: Option<u16>,
    pub(super) receive_maximum: Option<u16>,
}

/// Reads the properties at this place of a packet.
pub(super) fn read(fields: &mut Fields) -> Result<Properties, Malformed> {
    let length = fields.variable()?;
    let mut own = Fields::of("properties", fields.take(length)?);
    let mut found = Properties::default();
    let mut seen = 0_u64;
    while !own.is_empty() {
        let id = own.byte()?;
        // Only user properties and subscription identifiers may come more than once.
        let bit = 1_u64.checked_shl(u32::from(id)).unwrap_or(0);
        if !matches!(id, 0x26 | 0x0B) && seen & bit != 0 {
            return Err(Malformed::Field("property that comes twice"));
        }
        seen |= bit;
        one(id, &mut own, &mut found)?;
    }
    Ok(found)
}

fn one(id: u8, own: &mut Fields, found: &mut Properties) -> Result<(), Malformed> {
    match id {
        SESSION_EXPIRY => found.session_expiry_s = Some(own.long()?),
        KEEP_ALIVE => found.keep_alive_s = Some(own.short()?),
        RECEIVE_MAXIMUM => match own.short()? {
            0 => return Err(Malformed::Field("receive maximum 0")),
            most => found.receive_maximum = Some(most),
        },
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => drop(own.byte()?),
        0x22 | 0x23 => drop(own.short()?),
        0x02 | 0x18 | 0x27 => drop(own.long()?),
        0x0B => drop(own.variable()?),
        0x03 | 0x08 | 0x12 | 0x15 | 0x1A | 0x1C | 0x1F => drop(own.string()?),
        0x09 | 0x16 => drop(own.bytes()?),
        0x26 => {
            own.string()?;
            own.string()?;
        }
        _ => return Err(Malformed::Field("property that does not exist")),
    }
    Ok(())
}
