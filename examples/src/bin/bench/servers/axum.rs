use std::future::Future;

use tokio::net::TcpListener;

use crate::Result;

/// The router alone, as `axum::serve` serves it.
pub(super) async fn serve(shutdown: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::announce(listener.local_addr()?);
    axum::serve(listener, super::router())
        .with_graceful_shutdown(shutdown)
        .await?;
    Ok(())
}
