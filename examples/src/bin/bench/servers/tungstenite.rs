use std::future::Future;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite;

use crate::Result;

/// An echo with nothing around it.
pub(super) async fn serve(shutdown: impl Future<Output = ()>) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::announce(listener.local_addr()?);
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream));
        }
    };
    tokio::select! {
        ended = accept => ended,
        () = shutdown => Ok(()),
    }
}

async fn echo(stream: TcpStream) -> Result<(), tungstenite::Error> {
    stream.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
