//! The `daphne` command.
#![forbid(unsafe_code)]

mod cli;
mod logging;
mod settings;

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use asgiref::ChannelLayer;
use asgiref::config::ChannelLayers;
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

/// The name of the layer that is meant if none is named.
const DEFAULT: &str = "default";

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
        let stop = daphne::stop_signal()
            .map_err(|error| (Status::Failed, format!("cannot wait for signals: {error}")))?;
        server
            .run(stop)
            .await
            .map_err(|error| (Status::Failed, chain(&error)))
    })
}

/// The channel layer the command line names.
fn layer(cli: &Cli) -> Result<Arc<dyn ChannelLayer>, (Status, String)> {
    let fail = |problem: String| (Status::NoLayer, problem);
    let named = cli.positional_layer.as_deref().or(cli.layer.as_deref());
    let layer = match (named, &cli.settings) {
        (Some(url), _) if url.contains(':') => layers::from_url(url),
        (name, Some(file)) => {
            let all = ChannelLayers::from_file(file).map_err(|error| fail(chain(&error)))?;
            let settings = all.require(name.unwrap_or(DEFAULT));
            let settings = settings
                .map_err(|error| fail(format!("settings file {}: {error}", file.display())))?;
            layers::from_settings(settings)
        }
        (Some(url), None) => layers::from_url(url),
        (None, None) => {
            return Err(fail(
                "no channel layer: give its URL with --layer or in DAPHNE_LAYER, for example \
                 redis://localhost:6379/0, or a file that describes it with --settings"
                    .to_owned(),
            ));
        }
    };
    let layer = layer.map_err(|error| fail(chain(&error)))?;
    if layer.is_process_local() && !cli.allow_process_local {
        return Err(fail(format!(
            "channel layer {layer} reaches no further than this process, so no worker would ever \
             see a request: give the URL of a layer between processes, for example \
             redis://localhost:6379/0; or use `runserver` of the `channels` crate, which serves \
             and works in one process; or, to try out endpoints and proxies with a server that \
             answers 503, add --allow-process-local"
        )));
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
