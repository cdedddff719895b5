//! The `daphne` command.
#![forbid(unsafe_code)]

mod cli;
mod logging;
mod settings;
mod signals;

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use asgiref::ChannelLayer;
use clap::Parser as _;
use daphne::{Endpoint, Error, layers};
use tracing::{info, warn};

use cli::Cli;

/// What the process can end with, besides 0.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Status {
    Failed = 1,
    Usage = 2,
    CannotListen = 3,
    NoLayer = 4,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(cli.verbosity);
    if cli.force_sync {
        warn!("--force-sync has no effect: there is only one way to receive");
    }
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, problem)) => {
            eprintln!("daphne: {problem}");
            ExitCode::from(status as u8)
        }
    }
}

fn run(cli: &Cli) -> Result<(), (Status, String)> {
    let usage = |error: Error| (Status::Usage, chain(&error));
    let endpoints = settings::endpoints(cli).map_err(usage)?;
    let layer = layer(cli)?;
    let server = settings::server(cli, &endpoints, Arc::clone(&layer)).map_err(usage)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| (Status::Failed, format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        info!(
            "Starting server at {}, channel layer {layer}.",
            listed(&endpoints)
        );
        let server = server
            .bind()
            .await
            .map_err(|error| (Status::CannotListen, chain(&error)))?;
        let stop = signals::stop()
            .map_err(|error| (Status::Failed, format!("cannot wait for signals: {error}")))?;
        server
            .run(stop)
            .await
            .map_err(|error| (Status::Failed, chain(&error)))
    })
}

/// The channel layer the command line names.
fn layer(cli: &Cli) -> Result<Arc<dyn ChannelLayer>, (Status, String)> {
    let fail = |problem: String| Err((Status::NoLayer, problem));
    let Some(url) = cli.layer.as_ref().or(cli.positional_layer.as_ref()) else {
        return fail(
            "no channel layer: give its URL with --layer or in DAPHNE_LAYER, for example \
             redis://localhost:6379/0"
                .to_owned(),
        );
    };
    let layer = layers::from_url(url).map_err(|error| (Status::NoLayer, chain(&error)))?;
    if layer.is_process_local() && !cli.allow_process_local {
        return fail(format!(
            "channel layer `{url}` reaches no further than this process, so no worker would ever \
             see a request: give the URL of a layer between processes, for example \
             redis://localhost:6379/0; or use `runserver` of the `channels` crate, which serves \
             and works in one process; or, to try out endpoints and proxies with a server that \
             answers 503, add --allow-process-local"
        ));
    }
    Ok(layer)
}

fn listed(endpoints: &[Endpoint]) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    endpoints.join(", ")
}

/// An error with what caused it, in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        // Writing to a string does not fail.
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{error}"));
        next = error.source();
    }
    text
}
