//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use asgiref::config::ChannelLayers;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use daphne::layers::{from_settings, from_url};

use crate::application::Application;
use crate::error::{Error, Result};
use crate::layers::DEFAULT_CHANNEL_LAYER;
use crate::management::address::ServerAddress;
use crate::management::runserver::{RunserverOptions, runserver};
use crate::management::runworker::{RunworkerOptions, runworker};
use crate::management::{logging, shutdown_signal};

/// Why there is nothing more to do.
pub(super) enum Failure {
    /// The arguments are wrong, or ask for help.
    Usage(clap::Error),
    Command(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Command(error.into())
    }
}

/// Runs an application.
#[derive(Debug, Parser)]
#[command(disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a protocol server and workers in one process, for development and small sites
    Runserver(Runserver),
    /// Runs workers for protocol servers in other processes
    Runworker(Runworker),
}

/// What both commands take.
#[derive(Debug, Args)]
struct Common {
    /// The channel layer: an alias of a configured one, or a URL with its options
    #[arg(long, value_name = "ALIAS|URL", env = "CHANNEL_LAYER", hide_env_values = true, default_value = DEFAULT_CHANNEL_LAYER)]
    layer: String,
    /// A TOML file with channel layers, in tables `[channel_layers.ALIAS]`
    #[arg(long, value_name = "FILE", env = "CHANNEL_SETTINGS")]
    settings: Option<PathBuf>,
    /// How many consumers may run at once
    #[arg(long, value_name = "N", visible_alias = "threads")]
    concurrency: Option<usize>,
    /// What to log: 0 warnings, 1 also what goes on, 2 also each message, 3 everything
    #[arg(short, long, value_name = "LEVEL", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u8).range(..=3))]
    verbosity: u8,
}

#[derive(Debug, Args)]
struct Runserver {
    /// Port, or address and port, to listen on
    #[arg(value_name = "ADDRPORT")]
    address: Option<String>,
    /// Listen on an IPv6 address unless one is given
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Run no workers; they have to run in other processes
    #[arg(long)]
    noworker: bool,
    /// Seconds the application may take for a response
    #[arg(
        long,
        value_name = "SECONDS",
        alias = "http_timeout",
        default_value_t = 60
    )]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    http_timeout: u64,
    /// Seconds the application may take to accept a WebSocket
    #[arg(
        long,
        value_name = "SECONDS",
        alias = "websocket_handshake_timeout",
        default_value_t = 5
    )]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    websocket_handshake_timeout: u64,
    /// Threads for connections and what they ask for; two for each processor if not given
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    connection_threads: Option<usize>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Runworker {
    /// Listen only on channels matching this shell glob; may be given several times
    #[arg(long, value_name = "GLOB")]
    only_channels: Vec<String>,
    /// Do not listen on channels matching this shell glob; may be given several times
    #[arg(long, value_name = "GLOB")]
    exclude_channels: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Parses `args` and runs the command.
pub(super) async fn run<I>(application: Application, args: I) -> Result<(), Failure>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let line = CommandLine::try_parse_from(args).map_err(Failure::Usage)?;
    match line.command {
        Command::Runserver(arguments) => {
            let address = address(arguments.address.as_deref(), arguments.ipv6)?;
            let (application, layer) = set_up(application, &arguments.common)?;
            let options = RunserverOptions::new()
                .address(address)
                .layer(layer)
                .workers(!arguments.noworker)
                .concurrency(arguments.common.concurrency)
                .connection_threads(arguments.connection_threads)
                .http_timeout(Duration::from_secs(arguments.http_timeout))
                .websocket_handshake_timeout(Duration::from_secs(
                    arguments.websocket_handshake_timeout,
                ));
            Ok(runserver(&application, options, shutdown_signal()?).await?)
        }
        Command::Runworker(arguments) => {
            let (application, layer) = set_up(application, &arguments.common)?;
            let options = RunworkerOptions::new()
                .layer(layer)
                .only_channels(arguments.only_channels)
                .exclude_channels(arguments.exclude_channels)
                .concurrency(arguments.common.concurrency);
            Ok(runworker(&application, options, shutdown_signal()?).await?)
        }
    }
}

fn address(text: Option<&str>, ipv6: bool) -> Result<ServerAddress> {
    let local = if ipv6 { "::1" } else { "127.0.0.1" };
    match text {
        None => Ok(ServerAddress::new(local, ServerAddress::DEFAULT_PORT)),
        Some(text) => {
            let address: ServerAddress = text.parse()?;
            let is_port_alone = !text.contains(':');
            Ok(if is_port_alone {
                ServerAddress::new(local, address.port())
            } else {
                address
            })
        }
    }
}

/// Logging and channel layers; returns the alias of the layer to use.
fn set_up(mut application: Application, common: &Common) -> Result<(Application, String)> {
    logging::init(common.verbosity);
    if let Some(path) = &common.settings {
        for (alias, settings) in ChannelLayers::from_file(path)?.iter() {
            application = application.with_layer(alias, from_settings(settings)?);
        }
    }
    if !common.layer.contains(':') {
        return Ok((application, common.layer.clone()));
    }
    let application = application.with_layer(DEFAULT_CHANNEL_LAYER, from_url(&common.layer)?);
    Ok((application, DEFAULT_CHANNEL_LAYER.to_owned()))
}
