use std::future::Future;
use std::process::{Command, Stdio};
use std::sync::Arc;

use asgi_ipc::{IpcChannelLayer, inspect};
use channels::management::{RunworkerOptions, runserver, runworker};
use channels::{Application, Router};
use clap::ValueEnum as _;

use crate::Result;
use crate::options::Side;

/// daphne, and a worker in a process of its own that it reaches over shared memory.
pub(super) async fn serve(shutdown: impl Future<Output = ()>) -> Result<()> {
    let application = application(std::process::id())?;
    let side = Side::Worker.to_possible_value();
    let side = side.ok_or("a side without a name")?;
    // It ends when its standard input does, which is when this process ends.
    let _worker = Command::new(std::env::current_exe()?)
        .args(["serve", side.get_name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let options = super::server_options().workers(false);
    Ok(runserver(&application, options, shutdown).await?)
}

/// The worker, which removes the segment at the end: daphne is killed.
pub(super) async fn work(shutdown: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let daphne = std::os::unix::process::parent_id();
    let application = application(daphne)?;
    runworker(&application, RunworkerOptions::new(), shutdown).await?;
    drop(application);
    Ok(inspect::remove(
        inspect::default_directory(),
        &prefix(daphne),
        true,
    )?)
}

fn application(daphne: u32) -> Result<Application> {
    let layer = IpcChannelLayer::builder().prefix(prefix(daphne)).build()?;
    Ok(Application::builder()
        .layer("default", Arc::new(layer))
        .router(Router::new())
        .http(super::router())
        .build()?)
}

/// The name of the segment.
fn prefix(daphne: u32) -> String {
    format!("bench-{daphne}")
}
