//! Streams of two kinds, read and written as one. It adds nothing to what they do.

/// Makes an enum of a plain stream and a boxed other one a stream itself.
macro_rules! passes_through {
    ($kind:ident { $plain:ident, $boxed:ident }) => {
        impl tokio::io::AsyncRead for $kind {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffer: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match self.get_mut() {
                    Self::$plain(stream) => std::pin::Pin::new(stream).poll_read(cx, buffer),
                    Self::$boxed(stream) => std::pin::Pin::new(stream.as_mut()).poll_read(cx, buffer),
                }
            }
        }

        impl tokio::io::AsyncWrite for $kind {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bytes: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                match self.get_mut() {
                    Self::$plain(stream) => std::pin::Pin::new(stream).poll_write(cx, bytes),
                    Self::$boxed(stream) => std::pin::Pin::new(stream.as_mut()).poll_write(cx, bytes),
                }
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match self.get_mut() {
                    Self::$plain(stream) => std::pin::Pin::new(stream).poll_flush(cx),
                    Self::$boxed(stream) => std::pin::Pin::new(stream.as_mut()).poll_flush(cx),
                }
            }

            fn poll_shutdown(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match self.get_mut() {
                    Self::$plain(stream) => std::pin::Pin::new(stream).poll_shutdown(cx),
                    Self::$boxed(stream) => std::pin::Pin::new(stream.as_mut()).poll_shutdown(cx),
                }
            }
        }
    };
}

pub(crate) use passes_through;
