//! What a client is told when a request is refused: the error codes of the distribution specification. It never
//! tells a path of this host.

use std::io;

use hyper::StatusCode;
use hyper::header::HeaderName;

/// An error code of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    NotFound,
    PageInvalid,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    UploadOutOfOrder,
    Unsupported,
}

impl Code {
    /// Its name in the envelope and the status that goes with it.
    pub(super) fn wire(self) -> (&'static str, StatusCode) {
        match self {
            Self::BlobUnknown => ("BLOB_UNKNOWN", StatusCode::NOT_FOUND),
            Self::BlobUploadInvalid => ("BLOB_UPLOAD_INVALID", StatusCode::BAD_REQUEST),
            Self::BlobUploadUnknown => ("BLOB_UPLOAD_UNKNOWN", StatusCode::NOT_FOUND),
            Self::Denied => ("DENIED", StatusCode::FORBIDDEN),
            Self::DigestInvalid => ("DIGEST_INVALID", StatusCode::BAD_REQUEST),
            Self::ManifestBlobUnknown => ("MANIFEST_BLOB_UNKNOWN", StatusCode::BAD_REQUEST),
            Self::ManifestInvalid => ("MANIFEST_INVALID", StatusCode::BAD_REQUEST),
            Self::ManifestTooLarge => ("MANIFEST_INVALID", StatusCode::PAYLOAD_TOO_LARGE),
            Self::ManifestUnknown => ("MANIFEST_UNKNOWN", StatusCode::NOT_FOUND),
            Self::NameInvalid => ("NAME_INVALID", StatusCode::BAD_REQUEST),
            Self::NameUnknown => ("NAME_UNKNOWN", StatusCode::NOT_FOUND),
            Self::NotFound => ("UNSUPPORTED", StatusCode::NOT_FOUND),
            Self::PageInvalid => ("PAGINATION_NUMBER_INVALID", StatusCode::BAD_REQUEST),
            Self::RangeInvalid => ("RANGE_INVALID", StatusCode::RANGE_NOT_SATISFIABLE),
            Self::SizeInvalid => ("SIZE_INVALID", StatusCode::BAD_REQUEST),
            Self::TagInvalid => ("TAG_INVALID", StatusCode::BAD_REQUEST),
            Self::UploadOutOfOrder => ("BLOB_UPLOAD_INVALID", StatusCode::RANGE_NOT_SATISFIABLE),
            Self::Unsupported => ("UNSUPPORTED", StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

/// Why a request is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The client asked for something that is not there or must not be.
    #[error("{message}")]
    Told { code: Code, message: String, headers: Vec<(HeaderName, String)> },
    /// The store failed: the client did nothing wrong.
    #[error("failed to use the registry's store: {0}")]
    Store(#[from] io::Error),
}

impl Refusal {
    /// A refusal with its code and one sentence.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::Told { code, message: message.into(), headers: Vec::new() }
    }

    /// Adds a header that the client needs to go on.
    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        if let Self::Told { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}
