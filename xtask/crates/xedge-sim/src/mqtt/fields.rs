//! The body of a packet, read field by field. It knows the types of fields, not the packets.

use bytes::{Buf, Bytes};

use super::decode::Malformed;

/// What is left of a packet.
pub(super) struct Fields {
    name: &'static str,
    pub(super) rest: Bytes,
}

impl Fields {
    pub(super) fn of(name: &'static str, rest: Bytes) -> Self {
        Self { name, rest }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.rest.try_get_u8().map_err(|_| Malformed::Short(self.name))
    }

    pub(super) fn short(&mut self) -> Result<u16, Malformed> {
        self.rest.try_get_u16().map_err(|_| Malformed::Short(self.name))
    }

    pub(super) fn long(&mut self) -> Result<u32, Malformed> {
        self.rest.try_get_u32().map_err(|_| Malformed::Short(self.name))
    }

    /// A packet id, which is never 0 (2.3.1).
    pub(super) fn id(&mut self) -> Result<u16, Malformed> {
        match self.short()? {
            0 => Err(Malformed::Field("packet id 0")),
            id => Ok(id),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = usize::from(self.short()?);
        self.take(length)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if self.rest.len() < length {
            return Err(Malformed::Short(self.name));
        }
        Ok(self.rest.split_to(length))
    }

    /// UTF-8 without U+0000 (1.5.3).
    pub(super) fn string(&mut self) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Malformed::Field("text that is not UTF-8"))?;
        if text.contains('\0') {
            return Err(Malformed::Field("text with U+0000"));
        }
        Ok(text.to_owned())
    }

    /// A number of one to four bytes (v5 1.5.5).
    pub(super) fn variable(&mut self) -> Result<usize, Malformed> {
        let mut number = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed::Length)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn end<T>(self, value: T) -> Result<T, Malformed> {
        if self.rest.has_remaining() { Err(Malformed::Long(self.name)) } else { Ok(value) }
    }
}
