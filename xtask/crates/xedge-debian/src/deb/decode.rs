//! Decompression of a .deb's members, to the exact last byte; no knowledge of what is inside.

use std::io::{self, BufRead, Read};

use super::{expect_end, invalid};

/// Memory that an xz stream may ask for; dpkg's strongest setting needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// A member's decompressor.
pub(super) enum Decoder<R: BufRead> {
    Plain(R),
    Gzip(flate2::bufread::GzDecoder<R>),
    Xz(liblzma::bufread::XzDecoder<R>),
    Zstd(zstd::stream::read::Decoder<'static, R>),
}

impl<R: BufRead> Decoder<R> {
    /// By the extension of the member's name.
    pub(super) fn new(extension: &str, reader: R) -> io::Result<Self> {
        Ok(match extension {
            "" => Self::Plain(reader),
            ".gz" => Self::Gzip(flate2::bufread::GzDecoder::new(reader)),
            ".xz" => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)?;
                Self::Xz(liblzma::bufread::XzDecoder::new_stream(reader, stream))
            }
            ".zst" => Self::Zstd(zstd::stream::read::Decoder::with_buffer(reader)?.single_frame()),
            other => return Err(invalid(format!("the compression `{other}` is not known"))),
        })
    }

    /// Checks that the compressed data ends where the decompressed data ended.
    pub(super) fn finish(self) -> io::Result<()> {
        let mut rest = match self {
            Self::Plain(reader) => reader,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        };
        expect_end(&mut rest)
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}
