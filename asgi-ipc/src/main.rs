//! The `asgi-ipc` command: segments of shared memory channel layers.
#![forbid(unsafe_code)]

use std::error::Error as StdError;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use asgi_ipc::inspect::{self, Inspection};
use clap::{Parser, Subcommand};

/// Lists, inspects and removes the segments of shared memory channel layers.
#[derive(Debug, Parser)]
#[command(name = "asgi-ipc", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The directory the segments are in.
    #[arg(long, global = true, default_value_os_t = inspect::default_directory())]
    directory: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows which segments there are.
    List,
    /// Shows what a segment holds: clients, memory, channels with their depths and ages.
    Inspect {
        /// Which segment.
        #[arg(default_value = "asgi")]
        prefix: String,
    },
    /// Removes a segment with all messages and groups.
    Remove {
        /// Which segment.
        prefix: String,
        /// Also if programs use it, or if it is damaged.
        #[arg(long)]
        force: bool,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("asgi-ipc: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Box<dyn StdError>> {
    let mut out = io::stdout().lock();
    match &cli.command {
        Command::List => {
            for prefix in inspect::list(&cli.directory)? {
                match inspect::inspect(&cli.directory, &prefix) {
                    Ok(found) => list_line(&mut out, &prefix, &found)?,
                    Err(error) => writeln!(out, "{prefix}  {}", chain(&error))?,
                }
            }
        }
        Command::Inspect { prefix } => {
            write_inspection(&mut out, &inspect::inspect(&cli.directory, prefix)?)?;
        }
        Command::Remove { prefix, force } => inspect::remove(&cli.directory, prefix, *force)?,
    }
    Ok(())
}

fn list_line(out: &mut impl Write, prefix: &str, found: &Inspection) -> io::Result<()> {
    let pending: u64 = found.channels.iter().map(|channel| channel.pending).sum();
    writeln!(
        out,
        "{prefix}  {} MiB, {} clients, {} channels, {pending} messages",
        found.size >> 20,
        found.clients.len(),
        found.channels.len(),
    )
}

fn write_inspection(out: &mut impl Write, found: &Inspection) -> io::Result<()> {
    writeln!(out, "{}", found.path.display())?;
    writeln!(
        out,
        "{} bytes (message_memory {}, group_memory {}), made {} ago, repaired {} times",
        found.size,
        found.message_memory,
        found.group_memory,
        ago(found.created),
        found.repairs,
    )?;
    writeln!(out, "\nclients")?;
    for client in &found.clients {
        writeln!(out, "  process {}, for {}", client.pid, ago(client.since))?;
    }
    writeln!(out, "\nmemory in use")?;
    for usage in &found.memory {
        let share = 100.0 * f64::from(usage.used) / f64::from(usage.count.max(1));
        writeln!(
            out,
            "  {:<20} {:>10} of {:>10} ({share:.1} %)",
            usage.what, usage.used, usage.count
        )?;
    }
    writeln!(
        out,
        "\n{:>8} {:>10} {:>10} {:>8} {:>8}  channel",
        "pending", "oldest", "sent", "refused", "groups"
    )?;
    for channel in &found.channels {
        writeln!(
            out,
            "{:>8} {:>9.3}s {:>10} {:>8} {:>8}  {}{}",
            channel.pending,
            channel.max_age.as_secs_f64(),
            channel.sent,
            channel.full,
            channel.memberships,
            channel.name,
            if channel.waited_for {
                " (waited for)"
            } else {
                ""
            },
        )?;
    }
    Ok(())
}

/// How long ago a time in milliseconds since 1970 was.
fn ago(time: u64) -> String {
    let then = SystemTime::UNIX_EPOCH + Duration::from_millis(time);
    let seconds = then.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// An error with what caused it, in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
